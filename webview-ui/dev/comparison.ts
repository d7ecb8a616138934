/**
 * A plain page that hosts the comparison as VS Code does, in an iframe with the same strict policy. What is compared
 * is what the test says. For tests, never shipped.
 */
import './harness.css';
import {
  type ComparisonHost,
  type ComparisonSnapshot,
  type ComparisonView,
  comparisonViewProtocol,
} from '../../src/protocol/comparison_view.ts';
import { OmniError } from '../../src/protocol/errors.ts';
import { type Connection, connect } from '../../src/protocol/rpc.ts';
import type { Still } from '../../src/protocol/timeline.ts';
import { portOffer } from '../host.ts';
import type { ComparisonHarness } from './comparison_control.ts';
import type { ThemeName } from './control.ts';
import { applyTheme } from './themes.ts';

const size = { width: 320, height: 180 };

const gone = (name: string) =>
  new OmniError('file_not_found', `${name} is not kept any more.`, 'Compare again: it is made anew.');

/**
 * A scene that moves, as an encode with this number at the end of its name leaves it: in fewer colours and larger
 * blocks the larger the number. The source (null) has all of them.
 */
async function draw(encode: string | null, time: number): Promise<Still> {
  const crf = Number(/\d+$/.exec(encode ?? '0')?.[0] ?? 0);
  const block = encode === null ? 1 : Math.max(1, Math.round((crf - 15) / 5));
  const canvas = new OffscreenCanvas(size.width, size.height);
  const pen = canvas.getContext('2d')!;
  const sky = pen.createLinearGradient(0, 0, 0, size.height);
  sky.addColorStop(0, '#1c4f8a');
  sky.addColorStop(0.6, '#e8b07a');
  sky.addColorStop(0.61, '#27506b');
  sky.addColorStop(1, '#0c2231');
  pen.fillStyle = sky;
  pen.fillRect(0, 0, size.width, size.height);
  pen.fillStyle = '#f6f3e8';
  pen.beginPath();
  pen.moveTo(60 + 12 * time, 60);
  pen.lineTo(60 + 12 * time, 110);
  pen.lineTo(105 + 12 * time, 110);
  pen.fill();
  pen.fillStyle = '#3a1d14';
  pen.fillRect(50 + 12 * time, 112, 64, 10);
  pen.font = '12px monospace';
  pen.fillStyle = '#fff';
  pen.fillText(time.toFixed(3), 8, 170);
  const pixels = pen.getImageData(0, 0, size.width, size.height);
  const { data } = pixels;
  for (let y = 0; y < size.height; y += 1) {
    for (let x = 0; x < size.width; x += 1) {
      const from = ((y - (y % block)) * size.width + x - (x % block)) * 4;
      const at = (y * size.width + x) * 4;
      for (let channel = 0; channel < 3; channel += 1) {
        const fine = data[from + channel]! + 6 * Math.sin(x * 1.7 + y * 2.3) * (block === 1 ? 1 : 0);
        data[at + channel] = Math.round(fine / (1 + 2 * (block - 1))) * (1 + 2 * (block - 1));
      }
    }
  }
  pen.putImageData(pixels, 0, 0);
  const blob = await canvas.convertToBlob({ type: 'image/png' });
  return { time, mime: 'image/png', bytes: new Uint8Array(await blob.arrayBuffer()) };
}

class Page implements ComparisonHarness {
  readonly log: { name: string; params: unknown }[] = [];
  readonly asked: number[] = [];
  faults: ComparisonHarness['faults'] = {};
  #connection: Connection<ComparisonView> | undefined;

  async open(snapshot: ComparisonSnapshot, theme: ThemeName): Promise<void> {
    const frame = document.createElement('iframe');
    frame.title = 'Comparison';
    frame.src = '/comparison.html';
    document.body.append(frame);
    await new Promise((resolve) => {
      frame.addEventListener('load', resolve, { once: true });
    });
    if (frame.contentDocument) applyTheme(frame.contentDocument, theme);
    const { port1, port2 } = new MessageChannel();
    this.#connection = connect<ComparisonHost, ComparisonView>(
      {
        post: (message) => port1.postMessage(message),
        listen(receive) {
          port1.onmessage = ({ data }) => receive(data);
          return () => port1.close();
        },
      },
      {
        version: comparisonViewProtocol,
        handlers: {
          cancel: () => {
            this.log.push({ name: 'cancel', params: {} });
          },
          open: (params) => {
            this.log.push({ name: 'open', params });
          },
          export: (params) => {
            this.log.push({ name: 'export', params });
          },
          frames: () => {
            if (this.faults.noFrames) throw gone(snapshot.source);
            return { times: Array.from({ length: 300 }, (_, at) => at / 25), ...size };
          },
          pictures: ({ encode, times }) => {
            if (encode !== null && this.faults.gone === encode) throw gone(encode);
            const [name, late = 0] = this.faults.late ?? [];
            this.asked.push(times.length);
            return Promise.all(
              times.map(async (time) => ({
                ...(await draw(encode, time)),
                time: encode === name ? time + late : time,
              })),
            );
          },
        },
        listeners: {},
        onPeer: () => this.send(snapshot),
        onProblem: (problem) => console.error(problem),
      },
    );
    frame.contentWindow?.postMessage(portOffer, location.origin, [port2]);
  }

  send(snapshot: ComparisonSnapshot): void {
    this.#connection?.update('snapshot', snapshot);
  }
}

globalThis.comparison = new Page();
