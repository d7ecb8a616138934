import { type BatchEntry, type FailedEntry, isFailed } from './batch.ts';
import { gradeNames, gradeOf, meanWithin, mosOf } from './pooling.ts';
import type { Assessment } from './record.ts';
import { placeOf } from './report_text.ts';
import { bitrateText, clock, printable, weightsText } from './text.ts';
import { distortionTypes, levelNames, severities } from './vocabulary.ts';

const style = `
:root{color-scheme:light dark;--ink:#1d2329;--dim:#5b6670;--rule:#d5dade;--paper:#fff;--curve:#0a66c2;--bad:#b3261e}
@media (prefers-color-scheme:dark){:root{--ink:#e4e7ea;--dim:#9aa4ad;--rule:#3a4249;--paper:#15191d;--curve:#6cb2ff;--bad:#ff8a80}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.15rem;margin:2.5rem 0 .25rem;overflow-wrap:anywhere}
.dim{color:var(--dim)}.mos{font-size:1.8rem;font-weight:600;font-variant-numeric:tabular-nums}.bad{color:var(--bad)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{text-align:left;padding:.2rem .75rem .2rem 0;border-bottom:1px solid var(--rule);overflow-wrap:anywhere}
th{font-weight:600}svg{width:100%;height:auto;display:block;margin:.75rem 0}
.grid{stroke:var(--rule);fill:none}.curve{stroke:var(--curve);stroke-width:2;fill:none}.worst{fill:var(--bad);opacity:.25}.label{fill:var(--dim);font-size:11px}
.bar{fill:var(--curve)}.found{fill:var(--bad)}.lane{fill:var(--ink);font-size:11px;paint-order:stroke;stroke:var(--paper);stroke-width:3px}`.replaceAll(
  '\n',
  '',
);

/**
 * One HTML page that opens anywhere, offline: no script, no font, no picture from elsewhere, and a policy that
 * would stop them. Everything that came from a file or a model is escaped.
 *
 * @param styleHash `sha256-…` of {@link reportStyle}, for the policy; hashing is the caller's.
 */
export function htmlReport(entries: readonly BatchEntry[], styleHash: string): string {
  const sections = entries.map((entry) => (isFailed(entry) ? failed(entry) : assessed(entry)));
  const done = entries.filter((entry): entry is Assessment => !isFailed(entry));
  const summary =
    entries.length < 2
      ? ''
      : `<table><thead><tr><th>Clip</th><th>MOS</th><th>Grade</th><th>Worst moment</th></tr></thead><tbody>${entries
          .map((entry) =>
            isFailed(entry)
              ? `<tr><td>${escaped(entry.path)}</td><td colspan="3" class="bad">${escaped(entry.error.message)}</td></tr>`
              : `<tr><td>${escaped(entry.video.path)}</td><td>${entry.mos.toFixed(2)}</td><td>${gradeOf(entry.mos)}</td>` +
                `<td>${clock(entry.pooling.worst.start)}, MOS ${mosOf(entry.pooling.worst.score).toFixed(2)}</td></tr>`,
          )
          .join('')}</tbody></table>`;
  const title = `Video quality: ${done.length} clip${done.length === 1 ? '' : 's'}`;
  return (
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${title}</title>` +
    `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src '${styleHash}'">` +
    `<meta name="viewport" content="width=device-width"><style>${style}</style></head>` +
    `<body><h1>${title}</h1>${summary}${sections.join('')}</body></html>\n`
  );
}

/** The page's only style sheet, exactly as it stands between the tags. */
export const reportStyle = style;

function failed({ path, error }: FailedEntry): string {
  return (
    `<section><h2>${escaped(path)}</h2><p class="bad">${escaped(error.message)} ` +
    `<span class="dim">(${escaped(error.code)})</span></p><p>${escaped(error.next)}</p></section>`
  );
}

function assessed(record: Assessment): string {
  const { video, model } = record;
  const facts = [
    `${video.width}×${video.height}`,
    `${Number(video.fps.toFixed(3))} fps`,
    video.codec,
    video.bitrate === null ? '' : bitrateText(video.bitrate),
  ].filter(Boolean);
  const distortions =
    record.distortions === null
      ? '<p class="dim">This model rates; it was not trained to find single distortions.</p>'
      : record.distortions.length === 0
        ? '<p>No distortions were found.</p>'
        : `<table><thead><tr><th>Distortion</th><th>When</th><th>Where</th><th>Severity</th></tr></thead><tbody>${record.distortions
            .map(
              ({ type, start, end, region, severity }) =>
                `<tr><td>${type}</td><td>${clock(start)}–${clock(end)}</td><td>${placeOf(region)}</td><td>${severity}</td></tr>`,
            )
            .join('')}</tbody></table>`;
  const notes = record.problems.map(({ message }) => `<li>${escaped(message)}</li>`).join('');
  return (
    `<section><h2>${escaped(video.path)}</h2><p class="dim">${escaped(facts.join(' · '))}</p>` +
    `<p><span class="mos">MOS ${record.mos.toFixed(2)}</span> ${gradeOf(record.mos)} ` +
    `<span class="dim">${record.score.toFixed(1)} of 100${record.status === 'complete' ? '' : `, ${record.status}`}</span></p>` +
    `${curve(record)}${levels(record)}${distortions}${refined(record)}` +
    (notes ? `<ul>${notes}</ul>` : '') +
    `<p class="dim">${escaped(`${weightsText(model)}, ${model.precision}, ${model.provider}`)}</p></section>`
  );
}

/** What a second model says of some windows, beside what the first one says. */
function refined({ refinements = [], timeline }: Assessment): string {
  const rows = refinements.map(({ start, end, mos, model }) => {
    const first = meanWithin(timeline, { start, end });
    return (
      `<tr><td>${clock(start)}–${clock(end)}</td><td>${first === null ? '' : mosOf(first).toFixed(2)}</td>` +
      `<td>${mos.toFixed(2)}</td><td>${escaped(`${weightsText(model)}, ${model.precision}`)}</td></tr>`
    );
  });
  return rows.length === 0
    ? ''
    : `<table><thead><tr><th>Refined</th><th>MOS</th><th>MOS, second model</th><th>Second model</th></tr></thead><tbody>${rows.join('')}</tbody></table>`;
}

/** The score over time, as steps: each span has one value; below it a lane for every type of distortion found. */
function curve({ timeline, pooling, coverage, distortions }: Assessment): string {
  const [width, height, left, bottom] = [900, 160, 30, 18];
  const types = distortionTypes.filter((type) => distortions?.some((one) => one.type === type));
  const end = Math.max(coverage.at(-1)?.[1] ?? 0, timeline.at(-1)!.end, 1e-3);
  const x = (time: number) => left + ((width - left) * time) / end;
  const y = (score: number) => (height - bottom) * (1 - score / 100) + 4;
  const at = (value: number) => value.toFixed(1);
  const path = timeline
    .map(({ start, end: stop, score }) => `M${at(x(start))} ${at(y(score))}H${at(x(stop))}`)
    .join('');
  const grid = [1, 2, 3, 4, 5]
    .map(
      (mos) =>
        `<path class="grid" d="M${left} ${at(y((mos - 1) * 25))}H${width}"/><text class="label" x="8" y="${at(y((mos - 1) * 25) + 4)}">${mos}</text>`,
    )
    .join('');
  const lanes = types
    .map((type, row) => {
      const top = height + 14 + row * 16;
      const bars = (distortions ?? [])
        .filter((one) => one.type === type)
        .map(({ start, end: stop, severity }) => {
          const thickness = 3 + 3 * severities.indexOf(severity);
          const length = Math.max(2, x(stop) - x(start));
          return (
            `<rect class="found" x="${at(x(start))}" y="${at(top + 6 - thickness / 2)}" width="${at(length)}" height="${thickness}">` +
            `<title>${type}, ${severity}, ${clock(start)}–${clock(stop)}</title></rect>`
          );
        })
        .join('');
      // The name stands over the lane's start, where a distortion may be: it is drawn after it.
      return `${bars}<text class="lane" x="${left + 3}" y="${top + 10}">${type}</text>`;
    })
    .join('');
  const { worst } = pooling;
  const whole = height + 8 + (types.length > 0 ? types.length * 16 + 8 : 0);
  return (
    `<svg viewBox="0 0 ${width} ${whole}" role="img" aria-label="MOS over time, worst ${clock(worst.start)} to ${clock(worst.end)}">` +
    `${grid}<rect class="worst" x="${at(x(worst.start))}" y="4" width="${at(Math.max(2, x(worst.end) - x(worst.start)))}" height="${height - bottom}"/>` +
    `<path class="curve" d="${path}"/><text class="label" x="${left}" y="${height + 4}">0:00</text>` +
    `<text class="label" x="${width}" y="${height + 4}" text-anchor="end">${clock(end)}</text>${lanes}</svg>`
  );
}

function levels({ levels: shares }: Assessment): string {
  const bars = levelNames
    .map((name, i) => {
      const length = shares[name] * 300;
      const label = name === gradeNames[i]!.toLowerCase() ? name : `${name} (${gradeNames[i]})`;
      return (
        `<text class="label" x="0" y="${i * 16 + 11}">${label}</text>` +
        `<rect class="bar" x="90" y="${i * 16 + 2}" width="${length.toFixed(1)}" height="11"/>` +
        `<text class="label" x="${(96 + length).toFixed(1)}" y="${i * 16 + 11}">${Math.round(shares[name] * 100)} %</text>`
      );
    })
    .join('');
  return `<svg viewBox="0 0 900 84" role="img" aria-label="Probability of each quality level">${bars}</svg>`;
}

const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text of a file or a model as text of a page. */
export function escaped(text: string): string {
  return printable(text).replace(/[&<>"']/g, (character) => entities[character]!);
}
