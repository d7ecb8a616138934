/**
 * Text that came from a file's name, its metadata or a model, made fit to print: control characters (a terminal
 * would obey them) and the marks that reverse, hide or break text are shown as their code points. The joiner of
 * emoji stays.
 */
export function printable(text: string): string {
  return text.replace(
    /(?!\u200d)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}

/** Seconds as m:ss.t or h:mm:ss, as players show them. */
export function clock(seconds: number): string {
  const tenths = Math.round(seconds * 10);
  const [hours, minutes, rest] = [
    Math.floor(tenths / 36000),
    Math.floor(tenths / 600) % 60,
    (tenths % 600) / 10,
  ];
  const tail = rest.toFixed(rest % 1 === 0 ? 0 : 1).padStart(rest % 1 === 0 ? 2 : 4, '0');
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, '0')}:${tail}` : `${minutes}:${tail}`;
}

/** Bits per second in the unit a person would use. */
export function bitrateText(bits: number): string {
  return bits >= 1e6 ? `${(bits / 1e6).toFixed(1)} Mb/s` : `${Math.round(bits / 1e3)} kb/s`;
}
