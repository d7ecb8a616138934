/** Text for numbers. A value that is not there is a dash, never a zero. */
export const dash = '–';

/** `1:02:03.480`; with `decimals` 0 the seconds are rounded down, so that a label never runs ahead of its place. */
export function time(seconds: number | null, decimals = 3): string {
  if (seconds === null || !Number.isFinite(seconds)) return dash;
  const unit = 10 ** decimals;
  // The small term keeps 3.48, which is 3.4799999… in binary, at 3.480.
  const total = Math.floor(Math.max(0, seconds) * unit + 1e-6);
  const whole = Math.floor(total / unit);
  const h = Math.floor(whole / 3600);
  const m = Math.floor(whole / 60) % 60;
  const s = whole % 60;
  const fraction = decimals > 0 ? `.${String(total % unit).padStart(decimals, '0')}` : '';
  const two = (value: number) => String(value).padStart(2, '0');
  return `${h > 0 ? `${h}:${two(m)}` : m}:${two(s)}${fraction}`;
}

/** `0:03.00–0:05.00` */
export function span(start: number, end: number, decimals = 2): string {
  return `${time(start, decimals)}–${time(end, decimals)}`;
}

/** A length of time in words: `0.48 s`, `12.5 s`, `3 min 20 s`, `2 h 5 min`. */
export function duration(seconds: number | null): string {
  if (seconds === null || !Number.isFinite(seconds)) return dash;
  if (seconds < 1) return `${seconds.toFixed(2)} s`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const total = Math.round(seconds);
  if (total < 3600) return `${Math.floor(total / 60)} min ${total % 60} s`;
  return `${Math.floor(total / 3600)} h ${Math.round((total % 3600) / 60)} min`;
}

export function number(value: number | null, decimals: number): string {
  return value === null || !Number.isFinite(value) ? dash : value.toFixed(decimals);
}

/** bit/s → `5.2 Mb/s` */
export function bitrate(bitsPerSecond: number | null): string {
  if (bitsPerSecond === null || !Number.isFinite(bitsPerSecond)) return dash;
  if (bitsPerSecond >= 1e6) return `${(bitsPerSecond / 1e6).toFixed(bitsPerSecond < 1e8 ? 1 : 0)} Mb/s`;
  return `${Math.round(bitsPerSecond / 1e3)} kb/s`;
}

/** bytes → `12.4 kB` */
export function bytes(value: number | null): string {
  if (value === null || !Number.isFinite(value)) return dash;
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)} MB`;
  return value >= 1e3 ? `${(value / 1e3).toFixed(1)} kB` : `${Math.round(value)} B`;
}

export function percent(share: number | null): string {
  return share === null || !Number.isFinite(share) ? dash : `${Math.round(share * 100)} %`;
}

/** Frames per second without a tail of zeros: `25`, `29.97`, `23.976`. */
export function rate(fps: number | null): string {
  return fps === null || !Number.isFinite(fps) ? dash : String(Number(fps.toFixed(3)));
}
