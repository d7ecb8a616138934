/** Everything that is drawn and not a control: one canvas behind the lanes. Costs what the pixels cost. */
import { mosOf } from '../../src/assessment/pooling.ts';
import type { Span } from '../../src/protocol/timeline.ts';
import * as format from './format.ts';
import type { Bar } from './lanes.ts';
import type { Model } from './model.ts';
import { firstAbove, firstAtLeast } from './pyramid.ts';
import type { Filmstrip } from './stills.ts';

/** Colours as the theme resolves them, and whether the system's own few colours are forced on us. */
export interface Palette {
  readonly ink: string;
  readonly strong: string;
  readonly muted: string;
  readonly grid: string;
  readonly surface: string;
  readonly curve: string;
  readonly area: string;
  readonly low: string;
  readonly worst: string;
  readonly intra: string;
  readonly predicted: string;
  readonly bidirectional: string;
  readonly pending: string;
  readonly lane: string;
  readonly selection: string;
  readonly event: string;
  readonly 'rank-1': string;
  readonly 'rank-2': string;
  readonly 'rank-3': string;
  readonly font: string;
}

const tokens = [
  'ink',
  'strong',
  'muted',
  'grid',
  'surface',
  'curve',
  'area',
  'low',
  'worst',
  'intra',
  'predicted',
  'bidirectional',
  'pending',
  'lane',
  'selection',
  'event',
  'rank-1',
  'rank-2',
  'rank-3',
  'font',
] as const;

export function readPalette(element: Element): Palette {
  const style = getComputedStyle(element);
  return Object.fromEntries(
    tokens.map((token) => [token, style.getPropertyValue(`--o-${token}`).trim()]),
  ) as unknown as Palette;
}

/** A row of the drawing: its place from the top in CSS pixels. */
export interface Row {
  readonly top: number;
  readonly height: number;
}

export interface Layout {
  readonly ruler: Row;
  readonly film: Row | null;
  readonly curve: Row;
  readonly lanes: readonly Row[];
  /** In place of the lanes, where the model finds no distortions. */
  readonly note: Row | null;
  readonly events: Row;
  readonly bitrate: Row | null;
  readonly height: number;
}

/** Row heights in CSS pixels; `laneRows` is how many overlapping moments each lane has to show. */
export function layOut(laneRows: readonly number[], film: boolean, bitrate: boolean): Layout {
  let top = 0;
  const row = (height: number, gap: number): Row => {
    const one = { top, height };
    top += height + gap;
    return one;
  };
  const ruler = row(24, 0);
  const strip = film ? row(46, 6) : null;
  const curve = row(116, 8);
  const lanes = laneRows.map((rows) => row(Math.max(18, Math.min(4, rows) * 10), 2));
  const note = laneRows.length === 0 ? row(18, 2) : null;
  top += 4;
  const events = row(18, 6);
  const rate = bitrate ? row(64, 0) : null;
  return { ruler, film: strip, curve, lanes, note, events, bitrate: rate, height: top + 4 };
}

const steps = [
  0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200,
] as const;

export interface Scene {
  readonly width: number;
  readonly ratio: number;
  readonly layout: Layout;
  readonly range: Span;
  readonly duration: number;
  readonly fps: number;
  readonly aspect: number;
  readonly model: Model | null;
  readonly missing: readonly Span[];
  /** The bars of each lane. */
  readonly bars: readonly (readonly Bar[])[];
  readonly threshold: number | null;
  readonly film: Filmstrip;
  readonly palette: Palette;
}

/** Diagonal lines for "nothing known here", drawn by hand so that they stay put while the view pans. */
function hatch(context: CanvasRenderingContext2D, x: number, y: number, width: number, height: number): void {
  if (width <= 0) return;
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.beginPath();
  const gap = 7;
  for (let at = Math.floor((x - height) / gap) * gap; at < x + width; at += gap) {
    context.moveTo(at, y + height);
    context.lineTo(at + height, y);
  }
  context.stroke();
  context.restore();
}

/** The severities' patterns in a colour, as theme.css has them: dots, diagonal lines; a severe one is solid. */
const patterns = new Map<string, CanvasPattern | null>();

function patternOf(context: CanvasRenderingContext2D, rank: 1 | 2, colour: string, ratio: number) {
  const name = `${rank} ${colour} ${ratio}`;
  const known = patterns.get(name);
  if (known !== undefined) return known;
  const size = Math.round((rank === 1 ? 6 : 7) * ratio);
  const tile = new OffscreenCanvas(size, size);
  const ink = tile.getContext('2d');
  if (ink) {
    ink.fillStyle = colour;
    ink.strokeStyle = colour;
    ink.lineWidth = 2 * ratio;
    ink.beginPath();
    if (rank === 1) ink.arc(size / 3, size / 3, 1.2 * ratio, 0, 2 * Math.PI);
    else {
      // One line through the tile and its neighbours' ends in the corners.
      for (const shift of [-size, 0, size]) {
        ink.moveTo(shift - ratio, size + ratio);
        ink.lineTo(shift + size + ratio, -ratio);
      }
    }
    if (rank === 1) ink.fill();
    else ink.stroke();
  }
  const pattern = context.createPattern(tile, 'repeat');
  pattern?.setTransform(new DOMMatrix().scale(1 / ratio));
  if (patterns.size > 32) patterns.clear();
  patterns.set(name, pattern);
  return pattern;
}

export function paint(context: CanvasRenderingContext2D, scene: Scene): void {
  const { width, ratio, layout, range, duration, fps, model, palette } = scene;
  const scale = width / (range.end - range.start);
  const x = (time: number) => (time - range.start) * scale;
  const crisp = (value: number) => Math.round(value * ratio) / ratio;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, layout.height);
  context.font = `11px ${palette.font}`;
  context.lineWidth = 1;
  const right = Math.min(width, x(duration));

  context.fillStyle = palette.lane;
  for (const { top, height } of layout.lanes) context.fillRect(0, top, right, height);

  // The ruler: labels no closer than they are wide, frames as small ticks once they are far enough apart.
  {
    const { top, height } = layout.ruler;
    const wanted = 84 / scale;
    const step = steps.find((one) => one >= wanted) ?? Math.ceil(wanted / 3600) * 3600;
    const decimals = step >= 1 ? 0 : step >= 0.1 ? 1 : 2;
    context.fillStyle = palette.muted;
    context.textBaseline = 'middle';
    context.beginPath();
    context.strokeStyle = palette.grid;
    for (
      let i = Math.max(0, Math.ceil(range.start / step));
      i * step <= Math.min(range.end, duration);
      i += 1
    ) {
      const at = crisp(x(i * step)) + 0.5;
      context.moveTo(at, top + height - 6);
      context.lineTo(at, layout.height);
      const label = format.time(i * step, decimals);
      const room = width - at - 4;
      if (context.measureText(label).width <= room) context.fillText(label, at + 4, top + height / 2);
    }
    context.stroke();
    if (scale / fps >= 8) {
      context.beginPath();
      context.strokeStyle = palette.muted;
      const last = Math.min(range.end, duration) * fps;
      for (let frame = Math.max(0, Math.floor(range.start * fps)); frame <= last; frame += 1) {
        const at = crisp(x(frame / fps)) + 0.5;
        context.moveTo(at, top + height - 4);
        context.lineTo(at, top + height);
      }
      context.stroke();
    }
  }

  if (layout.film) {
    const { top, height } = layout.film;
    const tile = height * scene.aspect;
    const { step, tiles } = scene.film.tiles(
      range.start,
      range.end,
      tile / scale,
      duration,
      1 / fps,
      Math.round(height * ratio),
    );
    for (const { time, bitmap } of tiles) {
      const left = x(time);
      const room = Math.min(step * scale, right - left);
      if (room <= 0) continue;
      if (!bitmap) {
        context.fillStyle = palette.area;
        context.fillRect(left, top, Math.max(0, Math.min(room, tile) - 1), height);
        continue;
      }
      // Cropped at the right where the grid is closer than the picture is wide.
      const shown = Math.min(room, tile);
      context.drawImage(bitmap, 0, 0, (shown / tile) * bitmap.width, bitmap.height, left, top, shown, height);
    }
  }

  // The MOS curve.
  {
    const { top, height } = layout.curve;
    const y = (mos: number) => top + height - ((mos - 1) / 4) * height;
    context.strokeStyle = palette.grid;
    context.beginPath();
    for (let grade = 1; grade <= 5; grade += 1) {
      const at = crisp(y(grade)) - (grade === 1 ? 0.5 : -0.5);
      context.moveTo(0, at);
      context.lineTo(right, at);
    }
    context.stroke();

    const worst = model?.record.pooling.worst;
    if (worst) {
      context.fillStyle = palette.worst;
      const left = x(worst.start);
      const length = Math.max(2, x(worst.end) - left);
      context.fillRect(left, top, length, height);
      if (context.measureText('worst').width + 8 <= length) {
        context.fillStyle = palette.ink;
        context.textBaseline = 'top';
        context.fillText('worst', Math.max(4, left + 4), top + 3);
      }
    }

    if (model && model.curve.values.length > 0) {
      const { starts, ends, mos, values } = model.curve;
      const first = firstAbove(ends, range.start);
      const last = firstAtLeast(starts, range.end);
      // The outline, left to right, broken where segments do not touch.
      const runs: { left: number; right: number; low: number; high: number; value: number }[][] = [];
      let run: (typeof runs)[number] = [];
      let previous = Number.NEGATIVE_INFINITY;
      const push = (from: number, to: number, low: number, high: number, value: number) => {
        if (from - previous > Math.max(1.5, 0.5 * (scale / fps))) {
          run = [];
          runs.push(run);
        }
        run.push({ left: from, right: to, low, high, value });
        previous = to;
      };
      if (last - first <= width / 2) {
        for (let i = first; i < last; i += 1) {
          const value = values[i] as number;
          push(x(starts[i] as number), x(ends[i] as number), value, value, value);
        }
      } else {
        for (let column = Math.floor(Math.max(0, x(starts[first] as number))); column < right; column += 1) {
          const from = range.start + column / scale;
          const found = mos.query(firstAbove(ends, from), firstAtLeast(starts, from + 1 / scale));
          if (found) push(column, column + 1, found.low, found.high, found.mean);
        }
      }
      for (const one of runs) {
        const begin = (one[0] as (typeof one)[number]).left;
        const end = (one.at(-1) as (typeof one)[number]).right;
        context.beginPath();
        context.moveTo(begin, top + height);
        for (const { left, right: to, value } of one) {
          context.lineTo(left, y(value));
          context.lineTo(to, y(value));
        }
        context.lineTo(end, top + height);
        context.fillStyle = palette.area;
        context.fill();

        // What the mean of a pixel column hides.
        context.beginPath();
        for (const { left, low, high, right: to } of one) {
          if (high - low > 0.01) context.rect(left, y(high), to - left, y(low) - y(high));
        }
        context.fillStyle = palette.area;
        context.fill();

        const stroke = () => {
          context.beginPath();
          for (const { left, right: to, value } of one) {
            context.lineTo(left, y(value));
            context.lineTo(to, y(value));
          }
          context.stroke();
        };
        context.lineWidth = 1.75;
        context.lineJoin = 'round';
        context.strokeStyle = palette.curve;
        stroke();
        if (scene.threshold !== null) {
          context.save();
          context.beginPath();
          context.rect(0, y(scene.threshold), width, top + height - y(scene.threshold) + 2);
          context.clip();
          context.strokeStyle = palette.low;
          stroke();
          context.restore();
        }
        context.lineWidth = 1;
      }

      // What a second model says: a beam over its window, with a knot that is there however short the beam is.
      for (const { start, end, mos: said } of model.refined) {
        const [left, to] = [x(start), x(end)];
        if (to < 0 || left > width) continue;
        const at = crisp(y(said));
        const middle = (left + to) / 2;
        context.beginPath();
        if (to - left >= 14) {
          context.moveTo(left + 2, at);
          context.lineTo(to - 2, at);
          for (const edge of [left + 2, to - 2]) {
            context.moveTo(edge, at - 4);
            context.lineTo(edge, at + 4);
          }
        }
        const knot = new Path2D();
        knot.moveTo(middle, at - 5);
        knot.lineTo(middle + 5, at);
        knot.lineTo(middle, at + 5);
        knot.lineTo(middle - 5, at);
        knot.closePath();
        // A seam of the background sets it off from the curve below.
        context.strokeStyle = palette.surface;
        context.lineWidth = 5;
        context.stroke();
        context.lineWidth = 3;
        context.stroke(knot);
        context.strokeStyle = palette.strong;
        context.fillStyle = palette.strong;
        context.lineWidth = 2;
        context.stroke();
        context.fill(knot);
        context.lineWidth = 1;
      }

      const rule = (
        mosValue: number,
        dash: number[],
        colour: string,
        name: string,
        side: 'left' | 'right',
      ) => {
        context.save();
        context.setLineDash(dash);
        context.strokeStyle = colour;
        context.beginPath();
        const at = crisp(y(mosValue)) + 0.5;
        context.moveTo(0, at);
        context.lineTo(right, at);
        context.stroke();
        context.restore();
        const label = `${name} ${mosValue.toFixed(2)}`;
        const room = context.measureText(label).width;
        context.globalAlpha = 0.8;
        context.fillStyle = palette.surface;
        const left = side === 'left' ? 0 : right - room - 8;
        context.fillRect(left, at - 15, room + 8, 14);
        context.globalAlpha = 1;
        context.fillStyle = palette.ink;
        context.textBaseline = 'bottom';
        context.fillText(label, left + 4, at - 1);
      };
      rule(mosOf(model.record.pooling.mean), [2, 3], palette.ink, 'mean', 'right');
      if (scene.threshold !== null) rule(scene.threshold, [6, 4], palette.low, 'target', 'left');
    }
  }

  // The lanes' bars. Controls of the same shape lie over them, once the view stands still.
  scene.bars.forEach((bars, lane) => {
    const row = layout.lanes[lane];
    if (!row) return;
    for (const bar of bars) {
      const left = Math.max(-4, bar.left);
      // A pixel of air, so that neighbours stay two.
      const length = Math.min(width + 4, bar.left + bar.width) - left - 1;
      const top = row.top + (bar.row / bar.rows) * row.height;
      const height = row.height / bar.rows - 1;
      const colour = palette[`rank-${bar.rank}`];
      context.save();
      context.translate(left, top);
      context.beginPath();
      context.roundRect(0.5, 0.5, Math.max(1, length - 1), height - 1, 2);
      context.globalAlpha = bar.rank === 1 ? 0.14 : bar.rank === 2 ? 0.25 : 1;
      context.fillStyle = colour;
      context.fill();
      context.globalAlpha = 1;
      if (bar.rank !== 3) {
        context.fillStyle = patternOf(context, bar.rank, colour, ratio) ?? colour;
        context.fill();
      }
      context.strokeStyle = colour;
      context.stroke();
      context.restore();
    }
  });

  // Scene cuts as ticks, freezes and black as labelled blocks.
  if (model) {
    const { top, height } = layout.events;
    const block = ({ start, end }: Span, label: string) => {
      const left = x(start);
      const length = Math.max(2, x(end) - left);
      if (left > width || left + length < 0) return;
      context.globalAlpha = 0.25;
      context.fillStyle = palette.event;
      context.fillRect(left, top + 2, length, height - 4);
      context.globalAlpha = 1;
      context.strokeStyle = palette.event;
      context.strokeRect(crisp(left) + 0.5, top + 2.5, Math.max(1, length - 1), height - 5);
      const text = context.measureText(label).width;
      if (text + 8 <= length) {
        context.fillStyle = palette.ink;
        context.textBaseline = 'middle';
        context.fillText(label, Math.max(4, left + 4), top + height / 2 + 0.5);
      }
    };
    for (const one of model.black) block(one, 'black');
    for (const one of model.freezes) block(one, 'frozen');
    context.strokeStyle = palette.ink;
    context.beginPath();
    let drawn = Number.NEGATIVE_INFINITY;
    const cuts = model.sceneCuts;
    for (
      let i = firstAtLeast(cuts, range.start);
      i < cuts.length && (cuts[i] as number) <= range.end;
      i += 1
    ) {
      const at = crisp(x(cuts[i] as number)) + 0.5;
      if (at - drawn < 1) continue;
      drawn = at;
      context.moveTo(at, top + 3);
      context.lineTo(at, top + height - 3);
    }
    context.lineWidth = 1.5;
    context.stroke();
    context.lineWidth = 1;
  }

  // Bytes per frame by type where a frame is wide enough, otherwise the bitrate over at least a second.
  if (layout.bitrate && model?.frames) {
    const { top, height } = layout.bitrate;
    const { bytes, values, types } = model.frames;
    const first = Math.max(0, Math.floor(range.start * fps));
    const last = Math.min(bytes.length, Math.ceil(range.end * fps));
    const frameWidth = scale / fps;
    const room = height - 14;
    let label = '';
    if (first < last && frameWidth >= 2) {
      const peak = bytes.query(first, last)?.high || 1;
      label = `${format.bytes(peak)} / frame`;
      const inset = frameWidth >= 4 ? 1 : 0;
      for (let i = first; i < last; i += 1) {
        const left = x(i / fps);
        const at = top + height - ((values[i] as number) / peak) * room;
        const type = types[i];
        context.fillStyle =
          type === 'I' ? palette.intra : type === 'B' ? palette.bidirectional : palette.predicted;
        context.fillRect(left + inset / 2, at, Math.max(1, frameWidth - inset), top + height - at);
        if (frameWidth >= 12 && type) {
          context.fillStyle = palette.ink;
          context.textAlign = 'center';
          context.textBaseline = 'bottom';
          context.fillText(type, left + frameWidth / 2, at - 1);
          context.textAlign = 'start';
        }
      }
    } else if (first < last) {
      const span = Math.max(fps, 1 / frameWidth);
      const means: number[] = [];
      for (let column = 0; column < right; column += 1) {
        const centre = (range.start + (column + 0.5) / scale) * fps;
        means.push(bytes.query(Math.floor(centre - span / 2), Math.ceil(centre + span / 2))?.mean ?? 0);
      }
      const peak = means.reduce((most, mean) => Math.max(most, mean), 0) || 1;
      label = `${format.bitrate(peak * 8 * fps)}`;
      context.fillStyle = palette.predicted;
      context.beginPath();
      context.moveTo(0, top + height);
      means.forEach((mean, column) => {
        const at = top + height - (mean / peak) * room;
        context.lineTo(column, at);
        context.lineTo(column + 1, at);
      });
      context.lineTo(means.length, top + height);
      context.fill();
    }
    const wide = context.measureText(label).width + 8;
    context.fillStyle = palette.surface;
    context.globalAlpha = 0.8;
    context.fillRect(width - wide, top - 1, wide, 14);
    context.globalAlpha = 1;
    context.fillStyle = palette.muted;
    context.textBaseline = 'top';
    context.fillText(label, width - wide + 4, top);
  }

  // What is not assessed: hatched over curve and lanes, not over what the container told us.
  context.strokeStyle = palette.pending;
  const bottom = layout.lanes.at(-1) ?? layout.curve;
  for (const { start, end } of scene.missing) {
    const left = Math.max(0, x(start));
    hatch(
      context,
      left,
      layout.curve.top,
      Math.min(width, x(end)) - left,
      bottom.top + bottom.height - layout.curve.top,
    );
  }
}

/** The whole clip in a strip: the curve's envelope. What part is visible is a control of its own. */
export function paintOverview(
  context: CanvasRenderingContext2D,
  { width, ratio, duration, model, missing, palette }: Omit<Scene, 'layout' | 'range' | 'film' | 'bars'>,
  height: number,
): void {
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  if (duration <= 0) return;
  const scale = width / duration;
  if (model && model.curve.values.length > 0) {
    const { starts, ends, mos } = model.curve;
    context.fillStyle = palette.curve;
    for (let column = 0; column < width; column += 1) {
      const from = column / scale;
      const found = mos.query(firstAbove(ends, from), firstAtLeast(starts, from + 1 / scale));
      if (!found) continue;
      const y = (value: number) => 2 + (1 - (value - 1) / 4) * (height - 4);
      context.globalAlpha = 0.35;
      context.fillRect(column, y(found.mean), 1, height - y(found.mean));
      context.globalAlpha = 1;
      context.fillRect(column, y(found.high), 1, Math.max(1.5, y(found.low) - y(found.high)));
    }
    context.fillStyle = palette.low;
    for (const { start, end, rank } of model.moments) {
      if (rank < 3) continue;
      context.fillRect(start * scale, height - 3, Math.max(1.5, (end - start) * scale), 3);
    }
  }
  context.strokeStyle = palette.pending;
  for (const { start, end } of missing) hatch(context, start * scale, 0, (end - start) * scale, height);
}
