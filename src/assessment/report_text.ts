import { gradeNames, gradeOf, meanWithin, mosOf } from './pooling.ts';
import type { Assessment } from './record.ts';
import { bitrateText, clock, printable, weightsText } from './text.ts';
import { levelNames } from './vocabulary.ts';

/** How a terminal marks text; the identity where there is no colour. */
export interface Style {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  /** Coloured by quality, 0..100. */
  readonly quality: (text: string, score: number) => string;
}

const same = (text: string) => text;
export const plain: Style = { bold: same, dim: same, quality: same };

const blocks = '▁▂▃▄▅▆▇█';

/** A record as a person would want to read it in a terminal of `columns` characters. */
export function textReport(record: Assessment, style: Style = plain, columns = 80): string {
  const { video, model, timing } = record;
  const field = (name: string, value: string) => `  ${style.dim(name.padEnd(13))}${value}`;
  const lines = [
    style.bold(printable(video.path)),
    style.dim(
      [
        `${video.width}×${video.height}`,
        `${Number(video.fps.toFixed(3))} fps${video.vfr ? ' (variable)' : ''}`,
        printable(video.codec),
        ...(video.bitrate === null ? [] : [bitrateText(video.bitrate)]),
        clock(record.coverage.reduce((sum, [start, end]) => sum + end - start, 0)),
      ]
        .map((part, i) => (i === 0 ? `  ${part}` : part))
        .join(' · '),
    ),
    '',
    `  ${style.bold(style.quality(`MOS ${record.mos.toFixed(2)}`, record.score))}  ${gradeOf(record.mos)}` +
      style.dim(`   ${record.score.toFixed(1)} of 100`) +
      (record.status === 'complete' ? '' : `   ${record.status.toUpperCase()}: ${coverageText(record)}`),
    '',
  ];
  for (const [i, name] of levelNames.entries()) {
    const share = record.levels[name];
    const bar = '█'.repeat(Math.round(share * 30)).padEnd(30, '·');
    const percent = String(Math.round(share * 100)).padStart(3);
    lines.push(field(name, `${gradeNames[i]!.padEnd(11)}${bar} ${percent} %`));
  }
  lines.push('', field('over time', sparkline(record, style, Math.max(10, columns - 26))));
  const { worst } = record.pooling;
  lines.push(
    field('worst', `${clock(worst.start)}–${clock(worst.end)}, MOS ${mosOf(worst.score).toFixed(2)}`),
    ...distortionLines(record).map((line, i) => field(i === 0 ? 'distortions' : '', line)),
    ...refinementLines(record).map((line, i) => field(i === 0 ? 'refined' : '', line)),
    ...signalLines(record).map((line, i) => field(i === 0 ? 'measured' : '', line)),
    ...record.problems.map((problem, i) =>
      field(
        i === 0 ? 'notes' : '',
        printable(problem.message) + (problem.start === undefined ? '' : ` (at ${clock(problem.start)})`),
      ),
    ),
    field('model', style.dim(`${printable(weightsText(model))}, ${model.precision}, ${model.provider}`)),
    field(
      'time',
      style.dim(
        `${timing.wall.toFixed(1)} s (frames ${timing.decode.toFixed(1)}, vision ${timing.vision.toFixed(1)}, ` +
          `motion ${timing.motion.toFixed(1)}, language ${timing.language.toFixed(1)})`,
      ),
    ),
  );
  return `${lines.join('\n')}\n`;
}

function coverageText(record: Assessment): string {
  return `only ${record.coverage.map(([start, end]) => `${clock(start)}–${clock(end)}`).join(', ')} was assessed`;
}

function sparkline(record: Assessment, style: Style, width: number): string {
  const { timeline } = record;
  const cells = Math.min(width, timeline.length);
  return Array.from({ length: cells }, (_, cell) => {
    const [from, to] = [
      Math.floor((cell * timeline.length) / cells),
      Math.floor(((cell + 1) * timeline.length) / cells),
    ];
    const low = Math.min(...timeline.slice(from, to).map(({ score }) => score));
    return style.quality(blocks[Math.min(7, Math.floor(low / 12.5))]!, low);
  }).join('');
}

function distortionLines({ distortions }: Assessment): string[] {
  if (distortions === null) return ['this model rates; it was not trained to find single distortions'];
  if (distortions.length === 0) return ['none found'];
  return distortions.map(
    ({ type, start, end, severity, region }) =>
      `${clock(start)}–${clock(end)}  ${severity} ${type}, ${placeOf(region)}`,
  );
}

/** What a second model says, beside the first one's score of the same time. */
function refinementLines({ refinements = [], timeline }: Assessment): string[] {
  return refinements.map(({ start, end, mos, model }) => {
    const first = meanWithin(timeline, { start, end });
    const beside = first === null ? '' : `, ${mosOf(first).toFixed(2)} by the first`;
    return `${clock(start)}–${clock(end)}  MOS ${mos.toFixed(2)} by ${printable(model.id)}${beside}`;
  });
}

/** Where a region lies, in the words of the paper's answers. */
export function placeOf(region: { x: number; y: number; width: number; height: number }): string {
  if (region.width * region.height > 0.9) return 'whole frame';
  const third = (centre: number, words: readonly [string, string, string]) =>
    words[Math.min(2, Math.floor(centre * 3))]!;
  const vertical = third(region.y + region.height / 2, ['upper', '', 'lower']);
  const horizontal = third(region.x + region.width / 2, ['left', '', 'right']);
  return [vertical, horizontal].filter(Boolean).join(' ') || 'center';
}

function signalLines({ signals, timeline }: Assessment): string[] {
  const spans = (name: string, list: readonly { start: number; end: number }[]) =>
    list.length === 0
      ? []
      : [
          `${name} ${list
            .slice(0, 5)
            .map(({ start, end }) => `${clock(start)}–${clock(end)}`)
            .join(', ')}${list.length > 5 ? ` and ${list.length - 5} more` : ''}`,
        ];
  const cuts = signals.sceneCuts.length;
  return [
    ...(cuts > 0 && timeline.length > 0 ? [`${cuts} scene cut${cuts > 1 ? 's' : ''}`] : []),
    ...spans('frozen', signals.freezes),
    ...spans('black', signals.black),
  ];
}
