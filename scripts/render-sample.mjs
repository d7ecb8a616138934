// Renders media/sample.mp4, a scene of our own with distortions at known times and places, and writes the truth
// about them beside it. Needs Node and ffmpeg only; the same versions of both give the same file.
//
//   node scripts/render-sample.mjs [--out media/sample.mp4] [--clean] [--from s] [--to s] [--scale 1]
//
// --clean leaves the distortions out; --from, --to and --scale give a draft of a part, or a smaller one.
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { distort } from './sample/distort.mjs';
import { createScene } from './sample/scene.mjs';

const { values } = parseArgs({
  options: {
    out: {
      type: 'string',
      default: join(fileURLToPath(new URL('..', import.meta.url)), 'media', 'sample.mp4'),
    },
    clean: { type: 'boolean', default: false },
    from: { type: 'string', default: '0' },
    to: { type: 'string', default: '12' },
    scale: { type: 'string', default: '1' },
  },
});
const seed = 2505;
const fps = 30;
const width = Math.round(640 * Number(values.scale)) * 2;
const height = Math.round(360 * Number(values.scale)) * 2;
const severities = ['noticeable', 'relatively severe', 'severe'];
const whole = { x: 0, y: 0, width: 1, height: 1 };
const at = (x, y) => ({ x, y, width: 0.5, height: 0.5 });

/** What is wrong with the clip: seconds of presentation time, regions in fractions of the frame. */
const distortions = [
  { type: 'stutter', start: 1, end: 2, region: whole, severity: 'severe' },
  { type: 'blur', start: 3, end: 5, region: at(0.5, 0), severity: 'relatively severe' },
  { type: 'compression', start: 6, end: 8, region: at(0, 0.5), severity: 'severe' },
  { type: 'noise', start: 9, end: 10, region: at(0.25, 0.25), severity: 'relatively severe' },
  { type: 'overexposure', start: 11, end: 12, region: at(0, 0), severity: 'relatively severe' },
];

mkdirSync(dirname(values.out), { recursive: true });
const scene = createScene({ width, height, supersampling: 1, seed });
const input = `-f rawvideo -pix_fmt rgb24 -s ${width}x${height} -r ${fps} -i pipe:0`;
const filter =
  '-vf scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int,format=yuv420p';
const colour = '-color_primaries bt709 -color_trc bt709 -colorspace bt709 -color_range tv';
const codec = '-c:v libx264 -threads 1 -preset slow -crf 28.5 -g 120';
const container = '-flags:v +bitexact -fflags +bitexact -map_metadata -1 -movflags +faststart';
const encoder = spawn(
  'ffmpeg',
  [...`-v error -y ${input} ${filter} ${codec} ${colour} ${container}`.split(' '), values.out],
  { stdio: ['pipe', 'inherit', 'inherit'] },
);
const encoded = new Promise((resolve, reject) => {
  encoder.on('error', reject);
  encoder.on('close', (status) =>
    status === 0 ? resolve() : reject(new Error(`ffmpeg ended with status ${status}`)),
  );
});
encoder.stdin.on('error', () => {});

const started = Date.now();
const last = Math.round(Number(values.to) * fps);
let second = [];
for (let n = Math.round(Number(values.from) * fps); n < last; ) {
  // One second at a time: distortions start and end at whole seconds.
  const now = Math.floor(n / fps);
  const covering = values.clean ? [] : distortions.filter(({ start, end }) => start <= now && now < end);
  const stutters = covering.some(({ type }) => type === 'stutter') && second.length === fps;
  const frames = [];
  for (; n < last && Math.floor(n / fps) === now; n++) {
    // Stutter as the paper makes it: this second is lost and the frames of the one before are shown again.
    frames.push(stutters ? second[n % fps].slice() : scene.render(n / fps));
  }
  second = frames.map((frame) => frame.slice());
  for (const distortion of covering) {
    if (distortion.type === 'stutter') continue;
    distort(frames, distortion, severities.indexOf(distortion.severity), {
      width,
      height,
      fps,
      seed: seed + 1000 * now,
    });
  }
  for (const frame of frames) {
    if (!encoder.stdin.write(frame)) await new Promise((resolve) => encoder.stdin.once('drain', resolve));
  }
  if (process.stderr.isTTY) {
    process.stderr.write(`\r${n}/${last} frames, ${((Date.now() - started) / 1000).toFixed(0)} s `);
  }
}
encoder.stdin.end();
await encoded;
if (!values.clean && values.from === '0' && values.to === '12') {
  writeFileSync(
    values.out.replace(/\.[^.]*$/, '.truth.json'),
    `${JSON.stringify({ video: { width, height, fps, duration: 12 }, distortions }, null, 2)}\n`,
  );
}
