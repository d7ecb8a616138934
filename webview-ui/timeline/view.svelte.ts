import { mosOf } from '../../src/assessment/pooling.ts';
import type { Assessment } from '../../src/assessment/record.ts';
import type { OmniError } from '../../src/protocol/errors.ts';
import type { Connection } from '../../src/protocol/rpc.ts';
import type {
  Focus,
  Region,
  Reveal,
  Span,
  TimelineAction,
  TimelineHost,
  TimelineSnapshot,
} from '../../src/protocol/timeline.ts';
import * as format from './format.ts';
import {
  bitrateWithin,
  buildModel,
  complement,
  type Model,
  type Moment,
  momentsAt,
  mosAt,
  mosWithin,
  placeOf,
  refinedAt,
  typeNames,
} from './model.ts';

/** What a view remembers between two showings. */
interface Saved {
  readonly time: number;
  readonly range: Span | null;
  readonly selection: Span | null;
  readonly boxes: boolean;
  readonly letters: boolean;
}

/** Where the user is and what he looks at: one per timeline. Times in seconds of presentation time. */
export class View {
  readonly connection: Connection<TimelineHost>;

  snapshot = $state.raw<TimelineSnapshot<Assessment> | null>(null);
  /** Why the host can not be reached, null while it can. */
  lost = $state.raw<OmniError | null>(null);
  /** A request of the user's that failed. */
  failure = $state.raw<OmniError | null>(null);
  /** What screen readers are told, after something moved that they can not see. */
  announcement = $state('');

  /** The clip's length as `<video>` knows it, while no record does. */
  mediaDuration = $state<number | null>(null);
  time = $state(0);
  playing = $state(false);
  /** Counts the jumps that came from the user or the host, as opposed to playback moving on. */
  jumps = $state(0);
  hover = $state<number | null>(null);
  selection = $state.raw<Span | null>(null);
  /** Index of the chosen distortion. */
  chosen = $state<number | null>(null);
  /** A place that the host pointed at and that is no distortion of the record. */
  mark = $state.raw<{ readonly span: Span; readonly region: Region } | null>(null);
  boxes = $state(true);
  /** Whether single letters are shortcuts (WCAG 2.1.4). */
  letters = $state(true);
  help = $state(false);
  /** The visible part; null: the whole clip, however long it becomes while a job runs. */
  #range = $state.raw<Span | null>(null);

  readonly #record = $derived(this.snapshot?.record ?? null);
  readonly model: Model | null = $derived(this.#record ? buildModel(this.#record, this.mediaDuration) : null);
  readonly duration: number = $derived(this.model?.duration ?? this.mediaDuration ?? 0);
  readonly fps: number = $derived(this.model?.fps ?? 25);
  readonly lastFrame: number = $derived(
    Math.max(0, (this.model?.frameCount ?? Math.round(this.duration * this.fps)) - 1),
  );
  readonly range: Span = $derived(this.#range ?? { start: 0, end: Math.max(this.duration, 1 / this.fps) });
  readonly zoomed: boolean = $derived(this.#range !== null);
  readonly missing: readonly Span[] = $derived(
    this.snapshot?.job && !this.snapshot.job.refining
      ? complement(this.snapshot.job.finished, this.duration, 1 / this.fps)
      : (this.model?.missing ?? []),
  );
  readonly current: readonly Moment[] = $derived(this.model ? momentsAt(this.model, this.time) : []);
  readonly frame: number = $derived(this.frameAt(this.time));
  readonly read = $derived(this.#readAt(this.hover ?? this.time));

  constructor(connection: Connection<TimelineHost>, saved: unknown) {
    this.connection = connection;
    if (typeof saved !== 'object' || saved === null) return;
    const { time, range, selection, boxes, letters } = saved as Partial<Saved>;
    if (typeof time === 'number' && time >= 0) this.time = time;
    if (isSpan(range)) this.#range = range;
    if (isSpan(selection)) this.selection = selection;
    if (typeof boxes === 'boolean') this.boxes = boxes;
    if (typeof letters === 'boolean') this.letters = letters;
  }

  saved(): Saved {
    return {
      time: this.time,
      range: this.#range,
      selection: this.selection,
      boxes: this.boxes,
      letters: this.letters,
    };
  }

  can(action: TimelineAction): boolean {
    return this.lost === null && (this.snapshot?.actions.includes(action) ?? false);
  }

  /** The frame that is on screen at a time. */
  frameAt(time: number): number {
    return Math.min(this.lastFrame, Math.max(0, Math.floor(time * this.fps + 1e-3)));
  }

  timeOf(frame: number): number {
    return Math.min(this.lastFrame, Math.max(0, frame)) / this.fps;
  }

  /** Shows the frame at `time` and brings the playhead into view. */
  seek(time: number): void {
    this.time = this.timeOf(this.frameAt(time));
    this.jumps += 1;
    const { start, end } = this.range;
    const length = end - start;
    if (this.time < start) this.#setRange(this.time - length * 0.2, length);
    else if (this.time >= end) this.#setRange(this.time - length * 0.8, length);
    const job = this.snapshot?.job;
    if (job && !job.finished.some((span) => span.start <= this.time && this.time < span.end)) {
      this.connection.update('prioritise', { time: this.time });
    }
  }

  step(frames: number): void {
    this.playing = false;
    this.seek(this.timeOf(this.frame + frames));
  }

  /** Playback has moved on; follows it page by page. */
  tick(time: number): void {
    this.time = Math.min(Math.max(0, time), this.timeOf(this.lastFrame));
    const { start, end } = this.range;
    if (this.time >= end || this.time < start) this.#setRange(this.time, end - start);
  }

  #setRange(start: number, length: number): void {
    if (length >= this.duration) {
      this.#range = null;
      return;
    }
    const from = Math.min(Math.max(0, start), this.duration - length);
    this.#range = { start: from, end: from + length };
  }

  /** `factor` > 1 shows less time, down to two frames. `around` keeps its place on screen. */
  zoom(factor: number, around: number = this.#centre()): void {
    const { start, end } = this.range;
    const length = Math.max((end - start) / factor, Math.min(this.duration, 2 / this.fps));
    this.#setRange(around - ((around - start) / (end - start)) * length, length);
  }

  /** The playhead where it is visible, the middle otherwise. */
  #centre(): number {
    const { start, end } = this.range;
    return this.time >= start && this.time <= end ? this.time : (start + end) / 2;
  }

  pan(seconds: number): void {
    if (this.#range) this.#setRange(this.#range.start + seconds, this.#range.end - this.#range.start);
  }

  fit(): void {
    this.#range = null;
  }

  /** Fills the width with a span, with some air at both sides. */
  show({ start, end }: Span, air = 0): void {
    const length = Math.max(end - start, 2 / this.fps);
    this.#setRange(start - length * air, length * (1 + 2 * air));
  }

  /** Sets the visible part exactly; used by the overview's handles. */
  setRange(start: number, end: number): void {
    this.#setRange(start, Math.max(end - start, 2 / this.fps));
  }

  select(start: number, end: number): void {
    const from = this.timeOf(this.frameAt(Math.min(start, end)));
    const to = Math.min(this.duration, this.timeOf(this.frameAt(Math.max(start, end))) + 1 / this.fps);
    this.selection = { start: from, end: to };
  }

  /** Moves one edge of the selection to the playhead; the first edge selects to the end of the clip. */
  selectEdge(edge: 'start' | 'end'): void {
    const { start, end } = this.selection ?? { start: 0, end: this.duration };
    if (edge === 'start') this.select(this.time, Math.max(this.time, end - 1.5 / this.fps));
    else this.select(Math.min(start, this.time), this.time);
    this.announcement = `Selected ${format.span(this.selection!.start, this.selection!.end, 2)}.`;
  }

  /** The first frame that a moment touches whole. */
  #entry(start: number): number {
    return this.timeOf(Math.ceil(start * this.fps - 1e-3));
  }

  choose(moment: Moment): void {
    this.playing = false;
    this.mark = null;
    this.chosen = moment.index;
    this.seek(this.#entry(moment.start));
    this.announcement = `${this.describe(moment)}. ${moment.index + 1} of ${this.model?.moments.length}.`;
  }

  /** Chooses the next (1) or previous (-1) distortion from where the playhead is. */
  walk(direction: 1 | -1): void {
    const moments = this.model?.moments ?? [];
    const chosen = this.chosen === null ? undefined : moments[this.chosen];
    const tolerance = 0.5 / this.fps;
    let next: Moment | undefined;
    if (chosen && Math.abs(this.#entry(chosen.start) - this.time) < tolerance) {
      next = moments[chosen.index + direction];
    } else if (direction > 0) {
      next = moments.find(({ start }) => this.#entry(start) > this.time + tolerance);
    } else {
      next = moments.findLast(({ start }) => this.#entry(start) < this.time - tolerance);
    }
    if (next) this.choose(next);
    else {
      this.announcement =
        moments.length === 0
          ? 'No distortions.'
          : direction > 0
            ? 'No later distortion.'
            : 'No earlier distortion.';
    }
  }

  togglePlaying(): void {
    this.playing = !this.playing;
  }

  toggleBoxes(): void {
    this.boxes = !this.boxes;
  }

  clearSelection(): void {
    this.selection = null;
    this.mark = null;
  }

  /** What a question would be about: the selection, otherwise the chosen distortion, otherwise the clip. */
  readonly focus: Focus = $derived.by(() => {
    if (this.selection) return { span: this.selection, type: null };
    const moment = this.chosen === null ? undefined : this.model?.moments[this.chosen];
    if (!moment) return { span: null, type: null };
    return { span: { start: moment.start, end: moment.end }, type: moment.type };
  });

  /** Opens the conversation about the clip. */
  ask(about: Focus = this.focus): void {
    if (this.can('ask')) void this.run(this.connection.request('ask', about));
  }

  openHelp(): void {
    this.help = true;
  }

  /** What the host asks to see. */
  reveal({ time, span, mark }: Reveal): void {
    this.playing = false;
    this.mark = null;
    if (span) {
      // What is pointed at is there to be seen: what the user selected stays his.
      if (!mark) this.selection = span;
      if (span.start < this.range.start || span.end > this.range.end) this.show(span, 0.5);
    }
    let at = time;
    if (mark) {
      this.boxes = true;
      const during = span ?? { start: time, end: time + 1 / this.fps };
      const meant = this.#meant(during, mark);
      this.chosen = meant?.index ?? null;
      if (!meant && mark.region) this.mark = { span: during, region: mark.region };
      // Where only its end is in the span, the box is not there at the first frame.
      if (meant) at = Math.max(time, meant.start);
    }
    this.seek(this.#entry(at));
  }

  /** The distortion of the record that is meant by a type, a region or both, during a span. */
  #meant({ start, end }: Span, { region, type }: NonNullable<Reveal['mark']>): Moment | undefined {
    const share = (one: Moment) => {
      const seconds = Math.min(one.end, end) - Math.max(one.start, start);
      if (!region) return seconds;
      const [x, y] = [
        Math.min(one.region.x + one.region.width, region.x + region.width) - Math.max(one.region.x, region.x),
        Math.min(one.region.y + one.region.height, region.y + region.height) -
          Math.max(one.region.y, region.y),
      ];
      return x > 0 && y > 0 ? seconds * x * y : 0;
    };
    return (this.model?.moments ?? [])
      .filter((one) => (type === null || one.type === type) && share(one) > 0)
      .toSorted((a, b) => share(b) - share(a))[0];
  }

  worst(): void {
    const worst = this.model?.record.pooling.worst;
    if (!worst) return;
    this.playing = false;
    this.chosen = null;
    this.seek(this.#entry(worst.start));
    this.announcement = `Worst moment, ${format.span(worst.start, worst.end)}, MOS ${mosOf(worst.score).toFixed(2)}.`;
  }

  describe({ type, severity, start, end, region }: Moment): string {
    return `${typeNames[type]}, ${severity}, ${format.span(start, end)}, ${placeOf(region)}`;
  }

  #readAt(at: number) {
    const frame = this.frameAt(at);
    const { model } = this;
    return {
      time: this.timeOf(frame),
      frame,
      mos: model ? mosAt(model.curve, this.timeOf(frame)) : null,
      refined: model ? refinedAt(model, this.timeOf(frame)) : null,
      bytes: model?.frames ? ((model.frames.values[frame] as number | undefined) ?? null) : null,
      frameType: model?.frames?.types[frame] ?? null,
      moments: this.hover === null || !model ? this.current : momentsAt(model, this.timeOf(frame)),
    };
  }

  /** Figures of the selected span, null where nothing is selected. */
  readonly selected = $derived.by(() => {
    const { model, selection } = this;
    if (!selection) return null;
    return {
      ...selection,
      frames: Math.max(1, Math.round((selection.end - selection.start) * this.fps)),
      mos: model ? mosWithin(model.curve, selection) : undefined,
      bitrate: model ? bitrateWithin(model, selection) : null,
      distortions:
        model?.moments.filter(({ start, end }) => start < selection.end && end > selection.start).length ?? 0,
    };
  });

  /** Runs a request of the user's; a failure is shown until it is dismissed. */
  async run(work: Promise<unknown>): Promise<void> {
    this.failure = null;
    try {
      await work;
    } catch (error) {
      if ((error as OmniError).code !== 'cancelled') this.failure = error as OmniError;
    }
  }
}

function isSpan(value: unknown): value is Span {
  if (typeof value !== 'object' || value === null) return false;
  const { start, end } = value as Partial<Span>;
  return typeof start === 'number' && typeof end === 'number' && start >= 0 && end > start;
}
