/** A MOS over a stretch of time, s. */
export interface ScoredStretch {
  readonly start: number;
  readonly end: number;
  readonly mos: number;
}

const width = 300;
const height = 56;
/** Room for the scale's figures on the left, and for a stroke at the edges. */
const left = 16;
const pad = 3;

/**
 * The course of the quality as a small picture for a hover: steps of MOS from 1 to 5, the worst stretch marked, the
 * target dashed. Its colours are readable on light and on dark, since a picture does not know the editor's theme.
 *
 * @returns an SVG document.
 */
export function sparkline(
  scores: readonly ScoredStretch[],
  worst: { readonly start: number; readonly end: number } | null,
  target: number | null,
): string {
  const from = Math.min(...scores.map(({ start }) => start));
  const to = Math.max(...scores.map(({ end }) => end));
  const x = (time: number) =>
    round(left + ((width - left - pad) * (time - from)) / Math.max(to - from, 1e-9));
  const y = (mos: number) => round(pad + ((height - 2 * pad) * (5 - Math.min(5, Math.max(1, mos)))) / 4);
  const steps = scores.map(({ start, end, mos }) => `H${x(start)}V${y(mos)}H${x(end)}`).join('');
  const first = scores[0];
  const grid = [1, 3, 5]
    .map(
      (mos) =>
        `<path d="M${left} ${y(mos)}H${width - pad}" stroke="#808080" stroke-opacity=".35"/>` +
        `<text x="2" y="${y(mos) + (mos === 5 ? 6 : mos === 1 ? 0 : 3)}">${mos}</text>`,
    )
    .join('');
  const mark =
    worst && worst.end > worst.start
      ? `<rect x="${x(Math.max(worst.start, from))}" y="${pad}" width="${round(
          Math.max(2, x(Math.min(worst.end, to)) - x(Math.max(worst.start, from))),
        )}" height="${height - 2 * pad}" fill="#e5534b" fill-opacity=".35"/>`
      : '';
  const goal =
    target === null
      ? ''
      : `<path d="M${left} ${y(target)}H${width - pad}" stroke="#c69026" stroke-dasharray="4 3"/>`;
  const curve = first
    ? `<path d="M${x(first.start)} ${y(1)}V${y(first.mos)}${steps}V${y(1)}Z" fill="#3b8eea" fill-opacity=".25"/>` +
      `<path d="M${x(first.start)} ${y(first.mos)}${steps}" stroke="#3b8eea" stroke-width="1.5" fill="none"/>`
    : '';
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ` +
    `font-family="sans-serif" font-size="9" fill="#808080">${grid}${mark}${curve}${goal}</svg>`
  );
}

const round = (value: number): number => Math.round(value * 10) / 10;
