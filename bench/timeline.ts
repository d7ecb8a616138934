/**
 * How fast the timeline is in real Chromium: first paint of a stored record, and the pace of panning and zooming
 * through a record of two hours with 100,000 points, a wheel event in every animation frame.
 */
import { openStudio } from '../test/support/browser.ts';
import type { OpenOptions } from '../webview-ui/dev/control.ts';
import type { Figure } from './support.ts';

const long: OpenOptions = { record: { seconds: 7200, segment: 0.072, distortions: 4000 } };

/** Runs in the page: from the view's document to its first drawing, as the view's own clock tells, ms. */
const firstPaint = `(() => {
  const inner = document.querySelector('iframe').contentWindow;
  const tracks = inner.document.querySelector('.tracks');
  return tracks?.dataset.painted ? inner.performance.getEntriesByName('painted')[0]?.startTime ?? -1 : -1;
})()`;

/** Runs in the page: 240 animation frames, each with a wheel event; the intervals between them, ms. */
const drive = `new Promise((resolve) => {
  const inner = document.querySelector('iframe').contentWindow;
  const body = inner.document.querySelector('.tracks .body');
  const box = body.getBoundingClientRect();
  const at = { bubbles: true, cancelable: true, clientX: box.x + box.width / 2, clientY: box.y + 150 };
  const intervals = [];
  let last = 0;
  let count = 0;
  inner.requestAnimationFrame(function step(now) {
    if (last) intervals.push(now - last);
    last = now;
    count += 1;
    if (count > 240) return resolve(intervals);
    const zoom = count % 120 < 60;
    body.dispatchEvent(new inner.WheelEvent('wheel', zoom
      ? { ...at, ctrlKey: true, deltaY: count % 120 < 40 ? -25 : 25 }
      : { ...at, deltaX: count % 60 < 30 ? 40 : -40 }));
    inner.requestAnimationFrame(step);
  });
})`;

/** First paint is the median of five; the pace is of one run of 240 frames. */
export async function benchTimeline(): Promise<readonly Figure[]> {
  const studio = await openStudio();
  try {
    const stage = await studio.stage();
    const paint = async (options: OpenOptions) => {
      const times: number[] = [];
      for (let i = 0; i < 5; i += 1) {
        await stage.open(options);
        await stage.view.locator('.tracks[data-painted]').waitFor();
        times.push((await stage.page.evaluate(firstPaint)) as number);
      }
      return times.toSorted((a, b) => a - b)[2] as number;
    };
    const short = await paint({});
    const hours = await paint(long);
    const intervals = ((await stage.page.evaluate(drive)) as number[]).toSorted((a, b) => a - b);
    const at = (share: number) => intervals[Math.floor(share * (intervals.length - 1))] as number;
    return [
      {
        name: 'timeline: first paint, stored record of 12 s',
        value: short,
        unit: 'ms',
        note: 'limit 300 ms',
      },
      { name: 'timeline: first paint, 2 h with 100,000 points', value: hours, unit: 'ms' },
      {
        name: 'timeline: pan and zoom of 2 h, median frame',
        value: at(0.5),
        unit: 'ms',
        note: '60 fps is 16.7 ms',
      },
      { name: 'timeline: pan and zoom of 2 h, 95th percentile frame', value: at(0.95), unit: 'ms' },
    ];
  } finally {
    await studio.close();
  }
}
