/** A comparison as files: for a table, a program, a slide, and to be sent to somebody. */
import { type BdResult, convexHull } from './bd_rate.ts';
import {
  deltasOf,
  linearTicks,
  logTicks,
  type Metric,
  markerOf,
  metrics,
  type PlottedEncode,
  paddedRange,
  seriesOf,
} from './comparison_plot.ts';
import { csvLine } from './report_csv.ts';
import { escaped } from './report_html.ts';
import { bitrateText, clock, safeJson } from './text.ts';

/** An encode with what was measured of it. Texts are untrusted. */
export interface ExportedEncode extends PlottedEncode {
  readonly bytes: number | null;
  /** Seconds of the clip encoded per second. */
  readonly speed: number | null;
  /** MOS by time, s. */
  readonly windows: readonly { readonly start: number; readonly end: number; readonly mos: number }[];
  readonly problems: readonly string[];
}

export interface ExportedComparison {
  /** Name of the clip. Untrusted. */
  readonly source: string;
  readonly encodes: readonly ExportedEncode[];
}

/** What is drawn, and how. */
export interface Drawing {
  readonly metric: Metric;
  readonly logarithmic: boolean;
}

const worst = ({ windows }: ExportedEncode) => windows.toSorted((a, b) => a.mos - b.mos)[0] ?? null;

const nameOf = (metric: Metric) => metrics.find(({ id }) => id === metric)!.name;

/** `omnivqa/comparison-table@1`: every encode, and every codec against every other by every measure there is. */
export function comparisonJson({ source, encodes }: ExportedComparison): string {
  const measured = metrics.filter(({ id }) => encodes.some((one) => one[id] !== null));
  const curves = measured.flatMap(({ id }) =>
    deltasOf(drawn(encodes, id)).map(({ anchor, test, rate, quality }) => ({
      measure: id,
      anchor,
      test,
      bdRate: rate,
      bdQuality: quality,
    })),
  );
  const rows = encodes.map((one) => ({
    ...{ settings: one.id, label: one.label, codec: one.codec, bitrate: one.bitrate, bytes: one.bytes },
    ...{ speed: one.speed, mos: one.mos, vmaf: one.vmaf, ssim: one.ssim, psnr: one.psnr },
    ...{ aligned: one.aligned, windows: one.windows, problems: one.problems },
  }));
  return `${safeJson({ schema: 'omnivqa/comparison-table@1', source, encodes: rows, curves }, 2)}\n`;
}

/** One line per encode, RFC 4180, with a header. */
export function comparisonCsv({ encodes }: ExportedComparison): string {
  const head = [
    ...['encode', 'codec', 'mos', 'vmaf', 'ssim', 'psnr_db', 'bitrate', 'bytes', 'speed', 'worst_start'],
    ...['worst_end', 'worst_mos', 'frames_of_source', 'problems'],
  ];
  const rows = encodes.map((one) => {
    const low = worst(one);
    return [
      ...[one.label, one.codec, one.mos, one.vmaf, one.ssim, one.psnr, one.bitrate, one.bytes, one.speed],
      ...[low?.start ?? null, low?.end ?? null, low?.mos ?? null, one.aligned ? 'yes' : 'no'],
      one.problems.join(' '),
    ];
  });
  return [head, ...rows].map(csvLine).join('');
}

const [width, height] = [900, 460];
const margin = { left: 64, right: 20, top: 40, bottom: 84 };
/** Told apart on white and on black, and by the markers where colours are not seen. */
const colours = ['#1f77b4', '#c46a00', '#2a8a3c', '#8a5cc2', '#c93030', '#8a7a00'];

/** Of a drawing that stands alone, on paper of its own, and of one in a page that may be dark. */
const paints = {
  alone: { ink: '#333333', grid: '#dddddd', paper: '#ffffff', hull: '#000000' },
  page: { ink: 'var(--ink)', grid: 'var(--rule)', paper: 'var(--paper)', hull: 'var(--ink)' },
} as const;
/** Entries of the legend in a row, and their height. */
const [perRow, rowHeight] = [5, 20];

const drawn = (encodes: readonly ExportedEncode[], metric: Metric) =>
  seriesOf(encodes, metric).filter(({ points }) => points.length > 0);

/** Quality over rate as a picture of its own: curves by codec, the convex hull, a legend; `alone` with white behind it. */
export function comparisonSvg(
  { source, encodes }: ExportedComparison,
  drawing: Drawing,
  paint: keyof typeof paints = 'alone',
): string {
  const { metric, logarithmic } = drawing;
  const { ink, grid: gridded, paper, hull } = paints[paint];
  const about = metrics.find(({ id }) => id === metric)!;
  const series = drawn(encodes, metric);
  const tall = height + Math.floor(series.length / perRow) * rowHeight;
  const points = series.flatMap((one) => one.points);
  const toX = (rate: number) => (logarithmic ? Math.log(rate) : rate);
  const [left, right] = paddedRange(
    points.map(({ rate }) => toX(rate)),
    0.06,
  );
  const [low, high] = paddedRange(
    points.map(({ quality }) => quality),
    0.1,
  );
  const at = (value: number) => value.toFixed(1);
  const x = (rate: number) =>
    at(margin.left + ((toX(rate) - left) / (right - left)) * (width - margin.left - margin.right));
  const y = (quality: number) =>
    at(height - margin.bottom - ((quality - low) / (high - low)) * (height - margin.top - margin.bottom));
  const line = (on: readonly { readonly rate: number; readonly quality: number }[]) =>
    on.map(({ rate, quality }) => `${x(rate)},${y(quality)}`).join(' ');
  const text = (words: string, place: string, more = '') =>
    `<text ${place} font-size="12" fill="${ink}"${more}>${escaped(words)}</text>`;

  const bottom = height - margin.bottom;
  const ticksX = logarithmic
    ? logTicks(Math.exp(left), Math.exp(right), 6)
    : linearTicks(Math.max(0, left), right, 6);
  const grid =
    points.length === 0
      ? []
      : [
          ...linearTicks(low, high, 6).map(
            (tick) =>
              `<line x1="${margin.left}" x2="${width - margin.right}" y1="${y(tick)}" y2="${y(tick)}" stroke="${gridded}"/>` +
              text(
                String(Number(tick.toFixed(4))),
                `x="${margin.left - 8}" y="${y(tick)}"`,
                ' text-anchor="end" dy="4"',
              ),
          ),
          ...ticksX.map(
            (tick) =>
              `<line x1="${x(tick)}" x2="${x(tick)}" y1="${margin.top}" y2="${bottom}" stroke="${gridded}"/>` +
              text(bitrateText(tick), `x="${x(tick)}" y="${bottom + 18}"`, ' text-anchor="middle"'),
          ),
        ];
  const curves = series.map(({ codec, index, points: on }) => {
    const colour = colours[index % colours.length]!;
    const marks = on.map(
      ({ encode, rate, quality }) =>
        `<path transform="translate(${x(rate)} ${y(quality)})" d="${markerOf(index)}" fill="${colour}" stroke="${paper}">` +
        `<title>${escaped(`${encode.label}: ${about.name} ${quality.toFixed(about.digits)} at ${bitrateText(rate)}`)}</title></path>`,
    );
    return `<g aria-label="${escaped(codec)}"><polyline points="${line(on)}" fill="none" stroke="${colour}" stroke-width="2"/>${marks.join('')}</g>`;
  });
  const hullLine = (on: string) =>
    `<polyline points="${on}" fill="none" stroke="${hull}" stroke-opacity="0.15" stroke-width="8" stroke-linejoin="round"/>`;
  const placed = (entry: number) => ({
    left: margin.left + (entry % perRow) * 160,
    middle: height - 18 + Math.floor(entry / perRow) * rowHeight,
  });
  const legend = series.map(({ codec, index }, entry) => {
    const { left, middle } = placed(entry);
    return (
      `<path transform="translate(${left + 6} ${middle})" d="${markerOf(index)}" fill="${colours[index % colours.length]}"/>` +
      text(codec, `x="${left + 18}" y="${middle + 4}"`)
    );
  });
  if (series.length > 0) {
    const { left, middle } = placed(series.length);
    legend.push(
      hullLine(`${left},${middle} ${left + 14},${middle}`) +
        text('Convex hull', `x="${left + 22}" y="${middle + 4}"`),
    );
  }
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${tall}" width="${width}" height="${tall}" ` +
    `font-family="system-ui, sans-serif" role="img"><title>${escaped(`${about.name} over bitrate: ${source}`)}</title>` +
    `<rect width="${width}" height="${tall}" fill="${paper}"/>` +
    text(`${about.name} over bitrate: ${source}`, `x="${margin.left}" y="24"`, ' font-weight="600"') +
    grid.join('') +
    text(
      `Bitrate${logarithmic ? ' (logarithmic)' : ''}`,
      `x="${width / 2}" y="${bottom + 40}"`,
      ' text-anchor="middle"',
    ) +
    (points.length === 0
      ? text(`No encode has a ${about.name}.`, `x="${width / 2}" y="${height / 2}"`, ' text-anchor="middle"')
      : '') +
    hullLine(line(convexHull(points))) +
    `${curves.join('')}${legend.join('')}</svg>\n`
  );
}

const style =
  ':root{color-scheme:light dark;--ink:#1d2329;--dim:#5b6670;--rule:#d5dade;--paper:#fff}' +
  '@media (prefers-color-scheme:dark){:root{--ink:#e4e7ea;--dim:#9aa4ad;--rule:#3a4249;--paper:#15191d}}' +
  'body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:62rem;margin:2rem auto;padding:0 1rem}' +
  'h1{font-size:1.4rem;overflow-wrap:anywhere}h2{font-size:1.15rem;margin:2rem 0 .25rem}.dim{color:var(--dim);font-weight:400}' +
  'svg{width:100%;height:auto;display:block;margin:.75rem 0}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}' +
  'th,td{text-align:left;padding:.2rem .75rem .2rem 0;border-bottom:1px solid var(--rule);vertical-align:top}th[scope=row]{overflow-wrap:anywhere}.numbers td{white-space:nowrap}';

/** The page's only style sheet, exactly as it stands between the tags. */
export const comparisonStyle = style;

/**
 * One HTML page that opens anywhere, offline: the drawing, the table, the Bjøntegaard deltas or why there are none, and
 * what the numbers do not tell. No script, and a policy that would stop one.
 *
 * @param styleHash `sha256-…` of {@link comparisonStyle}; hashing is the caller's.
 */
export function comparisonHtml(comparison: ExportedComparison, drawing: Drawing, styleHash: string): string {
  const { source, encodes } = comparison;
  const shown = metrics.filter(({ id }) => encodes.some((one) => one[id] !== null));
  const cells = (values: readonly string[]) => values.map((value) => `<td>${escaped(value)}</td>`).join('');
  const rows = encodes.map((one) => {
    const low = worst(one);
    const notes = [
      ...(one.aligned ? [] : ['Not frame for frame its source: left out of the curves.']),
      ...one.problems,
    ];
    return (
      `<tr><th scope="row">${escaped(one.label)}${notes.map((note) => `<div class="dim">${escaped(note)}</div>`).join('')}</th>` +
      cells([
        ...shown.map(({ id, digits }) => one[id]?.toFixed(digits) ?? '–'),
        one.bitrate === null ? '–' : bitrateText(one.bitrate),
        one.bytes === null ? '–' : `${(one.bytes / 1e6).toFixed(2)} MB`,
        one.speed === null ? '–' : `${one.speed.toFixed(1)}×`,
        low ? `${low.mos.toFixed(2)} at ${clock(low.start)}` : '–',
      ]) +
      '</tr>'
    );
  });
  const said = (result: BdResult, value: (number: number) => string) =>
    'refusal' in result ? result.message : value(result.value);
  const { digits } = metrics.find(({ id }) => id === drawing.metric)!;
  const deltas = deltasOf(drawn(encodes, drawing.metric)).map(
    ({ anchor, test, rate, quality }) =>
      `<tr>${cells([
        test,
        anchor,
        said(rate, (value) => `${(100 * value).toFixed(1)} %`),
        said(quality, (value) => value.toFixed(digits)),
      ])}</tr>`,
  );
  const head = (names: readonly string[]) =>
    `<thead><tr>${names.map((name) => `<th scope="col">${escaped(name)}</th>`).join('')}</tr></thead>`;
  const name = nameOf(drawing.metric);
  const title = `Encodes of ${source}`;
  return (
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escaped(title)}</title>` +
    `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src '${styleHash}'">` +
    `<meta name="viewport" content="width=device-width"><style>${style}</style></head><body><h1>${escaped(title)}</h1>` +
    comparisonSvg(comparison, drawing, 'page') +
    `<h2>Encodes</h2><table class="numbers">${head(['Encode', ...shown.map((one) => one.name), 'Bitrate', 'Size', 'Speed', 'Worst moment'])}` +
    `<tbody>${rows.join('')}</tbody></table>` +
    (deltas.length === 0
      ? ''
      : `<h2>Bjøntegaard deltas</h2><table>${head(['Codec', 'against', 'BD-rate', `BD-${name}`])}<tbody>${deltas.join('')}</tbody></table>`) +
    '</body></html>\n'
  );
}
