import { expect, it } from 'vitest';
import * as format from '../../../webview-ui/timeline/format.ts';

it.each([
  [0, 3, '0:00.000'],
  [3.48, 3, '0:03.480'],
  [59.9999, 0, '0:59'],
  [60, 0, '1:00'],
  [3723.5, 1, '1:02:03.5'],
  [-1, 2, '0:00.00'],
])('%d s with %i decimals is %s', (seconds, decimals, text) => {
  expect(format.time(seconds, decimals)).toBe(text);
});

it.each([
  [format.time(null), '–'],
  [format.time(Number.NaN), '–'],
  [format.duration(0.48), '0.48 s'],
  [format.duration(12.5), '12.5 s'],
  [format.duration(200), '3 min 20 s'],
  [format.duration(7500), '2 h 5 min'],
  [format.bitrate(5_240_000), '5.2 Mb/s'],
  [format.bitrate(480_000), '480 kb/s'],
  [format.bitrate(null), '–'],
  [format.bytes(12_400), '12.4 kB'],
  [format.bytes(640), '640 B'],
  [format.rate(30_000 / 1001), '29.97'],
  [format.rate(25), '25'],
  [format.percent(0.384), '38 %'],
  [format.number(null, 2), '–'],
])('%s reads %s', (text, wanted) => expect(text).toBe(wanted));
