/**
 * A plain page that is a whole host: it embeds the timeline as VS Code does, in an iframe with the same strict
 * policy, and answers it with made-up records and drawn pictures. For looking and for tests, never shipped.
 */
import './harness.css';
import type { Assessment } from '../../src/assessment/record.ts';
import { OmniError } from '../../src/protocol/errors.ts';
import { type Connection, connect } from '../../src/protocol/rpc.ts';
import {
  type Reveal,
  type Span,
  type Still,
  type TimelineAction,
  type TimelineHost,
  type TimelineSnapshot,
  type TimelineView,
  timelineProtocol,
} from '../../src/protocol/timeline.ts';
import { portOffer } from '../host.ts';
import type { Harness, OpenOptions, ThemeName } from './control.ts';
import { makeRecord, partOf } from './records.ts';
import { applyTheme, themes } from './themes.ts';

const windowSeconds = 1;

class Page implements Harness {
  readonly log: { name: string; params: unknown }[] = [];
  hold = false;
  failNext: Harness['failNext'] = null;
  #waiting: (() => void)[] = [];
  #options: OpenOptions = {};
  #record = makeRecord();
  #finished: Span[] = [];
  #playhead = 0;
  #snapshot: TimelineSnapshot<Assessment> | undefined;
  #frame: HTMLIFrameElement | undefined;
  #connection: Connection<TimelineView<Assessment>> | undefined;

  get held(): number {
    return this.#waiting.length;
  }

  async open(options: OpenOptions = {}): Promise<void> {
    this.#options = options;
    this.#record = { ...makeRecord(options.record), ...options.patch };
    const { state = 'complete' } = options;
    const { duration } = this.#record.video;
    const third = Math.floor((duration ?? 0) / 3);
    this.#finished = state === 'complete' ? [{ start: 0, end: duration ?? 0 }] : [{ start: 0, end: third }];
    if (state === 'empty' || state === 'failed' || state === 'running') this.#finished = [];
    this.#playhead = 0;
    const actions: TimelineAction[] = ['assess', 'ask', 'export', 'external', 'reveal', 'record'];
    this.#snapshot = {
      clip: {
        name: options.name ?? this.#record.video.path.split('/').at(-1) ?? '',
        path: this.#record.video.path,
      },
      record:
        state === 'complete'
          ? this.#record
          : state === 'partial' || state === 'cancelled'
            ? partOf(this.#record, this.#finished, state)
            : null,
      job:
        state === 'running'
          ? {
              phase: 'starting',
              progress: null,
              eta: null,
              framesPerSecond: null,
              finished: [],
              current: null,
            }
          : null,
      media: {
        url: options.media ?? null,
        offset: 0,
        stills: options.stills ?? true,
        revision: '1',
      },
      threshold: options.threshold ?? null,
      error:
        state === 'failed'
          ? {
              code: 'ffmpeg_failed',
              message: 'ffmpeg could not decode the clip.',
              next: 'Check that the file plays elsewhere, or copy it again.',
              command: `ffmpeg -nostdin -i file:${this.#record.video.path} -f rawvideo -`,
              stderr: '[mov,mp4 @ 0x5581] moov atom not found\nInvalid data found when processing input',
            }
          : null,
      actions: state === 'running' ? ['cancel'] : actions,
    };
    await this.#show();
  }

  async #show(): Promise<void> {
    this.close();
    const frame = document.createElement('iframe');
    frame.title = 'Timeline';
    frame.src = '/timeline.html';
    if (this.#options.width) {
      frame.style.width = `${this.#options.width}px`;
      frame.style.flexShrink = '0';
    }
    document.body.append(frame);
    this.#frame = frame;
    await new Promise((resolve) => {
      frame.addEventListener('load', resolve, { once: true });
    });
    const inner = frame.contentDocument;
    if (inner) applyTheme(inner, this.#options.theme ?? 'dark');
    if (this.#options.state === 'silent') return;
    const { port1, port2 } = new MessageChannel();
    this.#connection = connect<TimelineHost, TimelineView<Assessment>>(
      {
        post: (message) => port1.postMessage(message),
        listen(receive) {
          port1.onmessage = ({ data }) => receive(data);
          return () => port1.close();
        },
      },
      {
        version: this.#options.state === 'outdated' ? timelineProtocol + 1 : timelineProtocol,
        handlers: {
          still: async (params, { signal }) => {
            await this.#note('still', params, signal);
            return this.#draw(params.time, params.width, params.width / this.#aspect());
          },
          filmstrip: async (params, { signal }) => {
            await this.#note('filmstrip', params, signal);
            const { times, height } = params;
            return Promise.all(times.map((time) => this.#draw(time, height * this.#aspect(), height)));
          },
          assess: async (params) => {
            await this.#note('assess', params);
            this.#finished = [];
            this.#job();
          },
          cancel: async (params) => {
            await this.#note('cancel', params);
            this.send({
              record: partOf(this.#record, this.#finished, 'cancelled'),
              job: null,
              actions: ['assess', 'export', 'external', 'reveal', 'record'],
            });
          },
          export: async (params) => {
            await this.#note('export', params);
            return { path: '/clips/report' };
          },
          open: async (params) => void (await this.#note('open', params)),
          ask: async (params) => void (await this.#note('ask', params)),
        },
        listeners: {
          focus: () => undefined,
          prioritise: ({ time }) => {
            this.log.push({ name: 'prioritise', params: { time } });
            this.#playhead = time;
          },
        },
        onPeer: () => {
          if (this.#snapshot) this.#connection?.update('snapshot', this.#snapshot);
        },
        onProblem: (problem) => console.error(problem),
      },
    );
    frame.contentWindow?.postMessage(portOffer, location.origin, [port2]);
  }

  #aspect(): number {
    return this.#record.video.width / this.#record.video.height;
  }

  async #note(name: string, params: unknown, signal?: AbortSignal): Promise<void> {
    this.log.push({ name, params });
    if (this.hold) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    signal?.throwIfAborted();
    if (this.failNext?.name === name) {
      const { code, message, next, ...detail } = this.failNext.error;
      this.failNext = null;
      throw new OmniError(code, message, next, detail);
    }
  }

  release(): void {
    this.hold = false;
    for (const resume of this.#waiting.splice(0)) resume();
  }

  /** A harbour at dusk that can be told apart frame by frame: sun, hills, waves, a boat and the time. */
  async #draw(time: number, wide: number, high: number): Promise<Still> {
    const width = Math.max(2, Math.round(wide));
    const height = Math.max(2, Math.round(high));
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext('2d');
    if (!context) throw new Error('no canvas');
    const share = time / (this.#record.video.duration ?? 1);
    const sky = context.createLinearGradient(0, 0, 0, height * 0.62);
    sky.addColorStop(0, `hsl(${215 + 30 * share} 45% ${38 - 18 * share}%)`);
    sky.addColorStop(1, `hsl(${28 - 10 * share} 85% ${68 - 18 * share}%)`);
    context.fillStyle = sky;
    context.fillRect(0, 0, width, height * 0.62);
    context.fillStyle = `hsl(${40 - 20 * share} 95% 72%)`;
    context.beginPath();
    context.arc(width * (0.25 + 0.4 * share), height * (0.3 + 0.28 * share), height * 0.07, 0, 2 * Math.PI);
    context.fill();
    context.fillStyle = 'hsl(230 25% 22%)';
    context.beginPath();
    context.moveTo(0, height * 0.62);
    for (let x = 0; x <= 1.001; x += 0.02) {
      context.lineTo(x * width, height * (0.55 - 0.07 * Math.sin(x * 7 + 1) - 0.03 * Math.sin(x * 23)));
    }
    context.lineTo(width, height * 0.62);
    context.fill();
    const sea = context.createLinearGradient(0, height * 0.62, 0, height);
    sea.addColorStop(0, 'hsl(210 40% 42%)');
    sea.addColorStop(1, 'hsl(220 45% 14%)');
    context.fillStyle = sea;
    context.fillRect(0, height * 0.62, width, height);
    context.strokeStyle = 'hsl(200 60% 80% / 0.35)';
    context.lineWidth = Math.max(1, height / 300);
    for (let row = 0; row < 9; row += 1) {
      context.beginPath();
      for (let x = 0; x <= 1.001; x += 0.02) {
        const y = 0.66 + row * 0.038 + 0.006 * Math.sin(x * (30 - row) + time * 2.2 + row);
        context.lineTo(x * width, y * height);
      }
      context.stroke();
    }
    const boat = width * (0.1 + 0.75 * share);
    context.fillStyle = '#f4efe6';
    context.beginPath();
    context.moveTo(boat, height * 0.45);
    context.lineTo(boat + height * 0.12, height * 0.68);
    context.lineTo(boat, height * 0.68);
    context.fill();
    context.fillStyle = '#8c2f2a';
    context.fillRect(boat - height * 0.06, height * 0.69, height * 0.22, height * 0.035);
    context.fillStyle = '#fffc';
    context.font = `${Math.max(8, height * 0.045)}px monospace`;
    if (height > 120) context.fillText(time.toFixed(3), width * 0.02, height * 0.96);
    const blob = await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.8 });
    return { time, mime: 'image/jpeg', bytes: new Uint8Array(await blob.arrayBuffer()) };
  }

  finishWindow(): Span | null {
    const duration = this.#record.video.duration ?? 0;
    const open = Array.from({ length: Math.ceil(duration / windowSeconds - 1e-9) }, (_, i) => ({
      start: i * windowSeconds,
      end: Math.min(duration, (i + 1) * windowSeconds),
    })).filter(({ start }) => !this.#finished.some((one) => one.start <= start && start < one.end - 1e-6));
    const next = open.find(({ end }) => end > this.#playhead) ?? open[0];
    if (!next) return null;
    this.#finished = [...this.#finished, next].toSorted((a, b) => a.start - b.start);
    if (open.length === 1) {
      this.send({
        record: this.#record,
        job: null,
        actions: ['assess', 'export', 'external', 'reveal', 'record'],
      });
    } else this.#job();
    return next;
  }

  #job(): void {
    const duration = this.#record.video.duration ?? 0;
    const done = this.#finished.reduce((sum, { start, end }) => sum + end - start, 0);
    this.send({
      record: this.#finished.length > 0 ? partOf(this.#record, this.#finished, 'partial') : null,
      job: {
        phase: 'running',
        progress: done / duration,
        eta: (duration - done) * 0.6,
        framesPerSecond: 143,
        finished: this.#finished,
        current: null,
      },
      error: null,
      actions: ['cancel'],
    });
  }

  theme(name: ThemeName): void {
    this.#options = { ...this.#options, theme: name };
    if (this.#frame?.contentDocument) applyTheme(this.#frame.contentDocument, name);
  }

  send(changes: Partial<TimelineSnapshot<Assessment>>): void {
    if (!this.#snapshot) return;
    this.#snapshot = { ...this.#snapshot, ...changes };
    this.#connection?.update('snapshot', this.#snapshot);
  }

  reveal(time: number, span: Span | null, mark: Reveal['mark'] = null): void {
    this.#connection?.notify('reveal', { time, span, mark });
  }

  hide(hidden: boolean): void {
    if (this.#frame) this.#frame.style.display = hidden ? 'none' : '';
  }

  disconnect(): void {
    this.#connection?.dispose();
    this.#connection = undefined;
  }

  close(): void {
    this.disconnect();
    this.#frame?.remove();
    this.#frame = undefined;
  }

  async reload(): Promise<void> {
    await this.#show();
  }
}

const page = new Page();
globalThis.harness = page;

const query = new URLSearchParams(location.search);
if (query.has('bare')) {
  document.body.classList.add('bare');
} else {
  const nav = document.createElement('nav');
  document.body.append(nav);
  const choose = (label: string, values: readonly string[], changed: (value: string) => void) => {
    const select = document.createElement('select');
    for (const value of values) select.append(new Option(value));
    select.setAttribute('aria-label', label);
    select.addEventListener('change', () => changed(select.value));
    nav.append(select);
  };
  let options: OpenOptions = {};
  const change = (changes: OpenOptions) => {
    options = { ...options, ...changes };
    void page.open(options);
  };
  const states = [
    'complete',
    'empty',
    'running',
    'partial',
    'cancelled',
    'failed',
    'silent',
    'outdated',
  ] as const;
  choose('State', states, (state) => change({ state: state as (typeof states)[number] }));
  choose('Theme', Object.keys(themes), (theme) => change({ theme: theme as ThemeName }));
  choose('Width', ['full', '1200', '700', '400'], (width) => change({ width: Number(width) || 0 }));
  choose('Length', ['12.48', '60', '7200'], (seconds) =>
    change({ record: { seconds: Number(seconds), distortions: Math.ceil(Number(seconds) / 2) } }),
  );
  setInterval(() => {
    if (options.state === 'running') page.finishWindow();
  }, 800);
  change({});
}
