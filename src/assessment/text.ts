import type { Assessment } from './record.ts';

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

/** {@link printable}, but line breaks stay: for text of several lines, such as a model's answer. */
export const printableLines = (text: string): string => text.split('\n').map(printable).join('\n');

/**
 * JSON that is safe to show in a terminal. `JSON.stringify` escapes the controls below U+0020 and leaves those of
 * U+007F..U+009F (U+009B starts a terminal command, as ESC [ does) and the marks that turn or hide text; escaped, they
 * are the same JSON.
 */
export function safeJson(value: unknown, indent?: number): string {
  const escaped = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(value, null, indent).replace(
    /(?![\n\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => character.split('').map(escaped).join(''),
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

/** The weights that a record's figures are from. */
export const weightsText = ({ id, revision, comparison }: Assessment['model']): string =>
  `${id} ${revision.slice(0, 8)}${comparison ? `, scores by ${comparison.slice(0, 8)} for comparing` : ''}`;
