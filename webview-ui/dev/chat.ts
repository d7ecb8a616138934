/**
 * A plain page that hosts the chat view as VS Code does, in an iframe with the same strict policy. What the model
 * says is what the test or the person at the page makes it say. For looking and for tests, never shipped.
 */
import './harness.css';
import {
  type ChatHost,
  type ChatSnapshot,
  type ChatTurn,
  type ChatView,
  chatViewProtocol,
} from '../../src/protocol/chat_view.ts';
import { OmniError } from '../../src/protocol/errors.ts';
import { type Connection, connect } from '../../src/protocol/rpc.ts';
import { portOffer } from '../host.ts';
import type { ChatHarness, ChatOptions } from './chat_control.ts';
import type { ThemeName } from './control.ts';
import { applyTheme, themes } from './themes.ts';

const clip = {
  path: '/clips/harbour.mp4',
  name: 'harbour.mp4',
  mos: 3.12,
  distortions: 2,
  duration: 12.48,
  poster: 3.5,
  revision: '1',
};

const initial: ChatSnapshot = {
  clips: [clip],
  subject: null,
  turns: [],
  suggestions: ['What is wrong, and where?', 'How severe is the blur at 3.0 s?', 'Is there any noise?'],
  ability:
    'OmniVQA-Nano answers what, where, when and how severe, yes or no, and choices. It does not converse.',
  canAsk: true,
  closed: null,
};

const blank: Omit<ChatTurn, 'id' | 'question' | 'subject' | 'clips'> = {
  revision: 1,
  state: 'waiting',
  text: '',
  cut: false,
  links: [],
  claims: [],
  options: [],
  basis: [],
  prompt: false,
  error: null,
};

class Page implements ChatHarness {
  readonly log: { name: string; params: unknown }[] = [];
  failNext: ChatHarness['failNext'] = null;
  #options: ChatOptions = {};
  #snapshot = initial;
  #serial = 0;
  #frame: HTMLIFrameElement | undefined;
  #connection: Connection<ChatView> | undefined;

  async open(options: ChatOptions = {}): Promise<void> {
    this.#options = options;
    this.#snapshot = { ...initial, ...options.snapshot };
    await this.#show();
  }

  async #show(): Promise<void> {
    this.disconnect();
    this.#frame?.remove();
    const frame = document.createElement('iframe');
    frame.title = 'Chat';
    frame.src = '/chat.html';
    if (this.#options.width) {
      frame.style.width = `${this.#options.width}px`;
      frame.style.flexShrink = '0';
    }
    document.body.append(frame);
    this.#frame = frame;
    await new Promise((resolve) => {
      frame.addEventListener('load', resolve, { once: true });
    });
    if (frame.contentDocument) applyTheme(frame.contentDocument, this.#options.theme ?? 'dark');
    const { port1, port2 } = new MessageChannel();
    const noted = (name: string, params: unknown) => {
      this.log.push({ name, params });
      if (this.failNext?.name !== name) return;
      const { code, message, next, ...detail } = this.failNext.error;
      this.failNext = null;
      throw new OmniError(code, message, next, detail);
    };
    this.#connection = connect<ChatHost, ChatView>(
      {
        post: (message) => port1.postMessage(message),
        listen(receive) {
          port1.onmessage = ({ data }) => receive(data);
          return () => port1.close();
        },
      },
      {
        version: chatViewProtocol,
        handlers: {
          still: ({ path, time, width }) => draw(path, time, width),
          ask: ({ question }) => {
            noted('ask', { question });
            this.#serial += 1;
            const { subject, clips } = this.#snapshot;
            const turn: ChatTurn = {
              ...blank,
              id: `${this.#serial}`,
              question,
              subject,
              clips: clips.map(({ path }) => path),
            };
            this.send({ turns: [...this.#snapshot.turns, turn], suggestions: [], canAsk: false });
          },
          stop: () => {
            noted('stop', {});
            this.finish({ state: 'stopped' });
          },
          retry: ({ turn }) => {
            noted('retry', { turn });
            this.#change((one) => ({ ...one, ...blank, revision: one.revision + 1 }));
          },
          subject: ({ subject }) => {
            noted('subject', { subject });
            this.send({ subject });
          },
          addClip: () => {
            noted('addClip', {});
            const more = { ...clip, path: '/clips/harbour-crf34.mp4', name: 'harbour-crf34.mp4', mos: 2.41 };
            this.send({ clips: [...this.#snapshot.clips, more] });
          },
          removeClip: ({ path }) => {
            noted('removeClip', { path });
            this.send({ clips: this.#snapshot.clips.filter((one) => one.path !== path) });
          },
          goTo: (place) => noted('goTo', place),
          clear: () => {
            noted('clear', {});
            this.send({ turns: [], suggestions: initial.suggestions });
          },
          export: () => {
            noted('export', {});
            return { path: '/clips/conversation.md' };
          },
          prompt: ({ turn }) => noted('prompt', { turn }),
        },
        listeners: {},
        onPeer: () => this.#connection?.update('snapshot', this.#snapshot),
        onProblem: (problem) => console.error(problem),
      },
    );
    frame.contentWindow?.postMessage(portOffer, location.origin, [port2]);
  }

  #change(change: (turn: ChatTurn) => ChatTurn): void {
    const turn = this.#snapshot.turns.at(-1);
    if (!turn) return;
    const changed = change(turn);
    this.#snapshot = { ...this.#snapshot, turns: [...this.#snapshot.turns.slice(0, -1), changed] };
    this.#connection?.update('turn', changed, changed.id);
  }

  stream(text: string): void {
    this.#change((turn) => ({
      ...turn,
      revision: turn.revision + 1,
      state: 'streaming',
      text: turn.text + text,
    }));
  }

  finish(changes: Partial<ChatTurn> = {}): void {
    this.#change((turn) => ({
      ...turn,
      revision: turn.revision + 1,
      state: 'complete',
      basis: ['omnivqa-nano on cpu', '0.0–12.5 s'],
      prompt: true,
      ...changes,
    }));
    this.send({ canAsk: true, suggestions: initial.suggestions.slice(0, 2) });
  }

  send(changes: Partial<ChatSnapshot>): void {
    this.#snapshot = { ...this.#snapshot, ...changes };
    this.#connection?.update('snapshot', this.#snapshot);
  }

  compose(text: string | null): void {
    this.#connection?.notify('compose', { text });
  }

  theme(name: ThemeName): void {
    this.#options = { ...this.#options, theme: name };
    if (this.#frame?.contentDocument) applyTheme(this.#frame.contentDocument, name);
  }

  async reload(): Promise<void> {
    await this.#show();
  }

  disconnect(): void {
    this.#connection?.dispose();
    this.#connection = undefined;
  }
}

/** A picture of its own for every clip and moment. */
async function draw(path: string, time: number, width: number) {
  const height = Math.round((width * 9) / 16);
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d');
  if (!context) throw new Error('no canvas');
  const sky = context.createLinearGradient(0, 0, 0, height);
  sky.addColorStop(0, `hsl(${200 + (path.length % 5) * 20} 45% ${30 + 3 * (time % 8)}%)`);
  sky.addColorStop(1, 'hsl(28 80% 66%)');
  context.fillStyle = sky;
  context.fillRect(0, 0, width, height);
  context.fillStyle = 'hsl(215 40% 25%)';
  context.fillRect(0, height * 0.66, width, height);
  context.fillStyle = '#f4efe6';
  context.beginPath();
  const boat = width * (0.1 + 0.06 * (time % 12));
  context.moveTo(boat, height * 0.35);
  context.lineTo(boat + height * 0.2, height * 0.68);
  context.lineTo(boat, height * 0.68);
  context.fill();
  const blob = await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.8 });
  return { time, mime: 'image/jpeg' as const, bytes: new Uint8Array(await blob.arrayBuffer()) };
}

const page = new Page();
globalThis.chat = page;

if (new URLSearchParams(location.search).has('bare')) {
  document.body.classList.add('bare');
} else {
  const nav = document.createElement('nav');
  document.body.append(nav);
  const theme = document.createElement('select');
  theme.setAttribute('aria-label', 'Theme');
  for (const name of Object.keys(themes)) theme.append(new Option(name));
  theme.addEventListener('change', () => page.theme(theme.value as ThemeName));
  const answer = document.createElement('input');
  answer.setAttribute('aria-label', 'What the model says');
  answer.addEventListener('change', () => {
    page.stream(answer.value);
    page.finish();
    answer.value = '';
  });
  nav.append(theme, answer);
  void page.open();
}
