import type { ComparedEncode } from '../../src/protocol/comparison_view.ts';

/** "11.4 MB" */
export function sizeText(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(2)} GB`;
  return bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.round(bytes / 1e3)} kB`;
}

/** "3 h ago" */
export function ageText(then: number, now: number): string {
  const minutes = Math.max(0, Math.floor((now - then) / 60_000));
  if (minutes < 1) return 'just now';
  if (minutes < 60) return `${minutes} min ago`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ago` : `${Math.floor(hours / 24)} days ago`;
}

/** With a sign that is as wide as the other: "+0.42", "−0.42". */
export function signed(value: number, digits: number): string {
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return text;
  return `${value < 0 ? '−' : '+'}${text}`;
}

/** What happens with an encode, where it is not done. */
export function stateText({ state, progress, eta }: ComparedEncode): string {
  const share = progress === null ? '' : ` ${Math.floor(progress * 100)} %`;
  const left = eta === null ? '' : `, ${Math.ceil(eta)} s left`;
  return `${state}${share}${left}`;
}
