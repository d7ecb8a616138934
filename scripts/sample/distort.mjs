// The distortions of the sample clip: those of OmniVQA's in-context branch (arXiv 2505.22543), each on a rectangle
// of a quarter of the frame area, plus stutter. The paper publishes no parameters; these are ours, by severity
// 1 (noticeable), 2 (relatively severe), 3 (severe).
import { spawnSync } from 'node:child_process';
import { random } from './noise.mjs';

const blurSigma = [1.5, 3, 6];
const noiseSigma = [9, 20, 40];
const exposureGain = [1.3, 1.7, 2.4];
const compressionQp = [36, 42, 48];

/** Pixel rectangle {x, y, width, height} of a region given in fractions of the frame. */
function rectangle(region, width, height) {
  return {
    x: Math.round(region.x * width),
    y: Math.round(region.y * height),
    width: Math.round(region.width * width),
    height: Math.round(region.height * height),
  };
}

function cut(frame, frameWidth, { x, y, width, height }) {
  const out = new Uint8Array(width * height * 3);
  for (let row = 0; row < height; row++) {
    const from = ((y + row) * frameWidth + x) * 3;
    out.set(frame.subarray(from, from + width * 3), row * width * 3);
  }
  return out;
}

function paste(frame, frameWidth, { x, y, width, height }, piece) {
  for (let row = 0; row < height; row++) {
    frame.set(piece.subarray(row * width * 3, (row + 1) * width * 3), ((y + row) * frameWidth + x) * 3);
  }
}

/** Separable Gaussian on RGB bytes; the picture is continued by its border. */
function blur(piece, width, height, sigma) {
  const radius = Math.ceil(3 * sigma);
  const kernel = Float64Array.from({ length: 2 * radius + 1 }, (_, i) =>
    Math.exp(-((i - radius) ** 2) / (2 * sigma * sigma)),
  );
  const sum = kernel.reduce((a, b) => a + b, 0);
  const along = new Float32Array(piece.length);
  const out = new Uint8Array(piece.length);
  const pass = (from, to, length, lines, step, stride, round) => {
    for (let line = 0; line < lines; line++) {
      for (let i = 0; i < length; i++) {
        for (let c = 0; c < 3; c++) {
          let value = 0;
          for (let n = -radius; n <= radius; n++) {
            const at = Math.min(length - 1, Math.max(0, i + n));
            value += kernel[n + radius] * from[line * stride + at * step + c];
          }
          to[line * stride + i * step + c] = value / sum + round;
        }
      }
    }
  };
  pass(piece, along, width, height, 3, width * 3, 0);
  pass(along, out, height, width, width * 3, 3, 0.5);
  return out;
}

/** Independent Gaussian noise per pixel, mostly in luma, as a sensor pushed too far gives. */
function noise(piece, sigma, seed) {
  const next = random(seed);
  const gauss = () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  const out = new Uint8Array(piece.length);
  for (let i = 0; i < piece.length; i += 3) {
    const shared = gauss() * sigma;
    for (let c = 0; c < 3; c++) {
      out[i + c] = Math.max(0, Math.min(255, piece[i + c] + shared + gauss() * sigma * 0.35 + 0.5));
    }
  }
  return out;
}

function overexpose(piece, gain) {
  return piece.map((value) => Math.min(255, value * gain + 10 * (gain - 1)));
}

/** Real codec artefacts: the pieces through x264 at a very coarse quantiser and back. */
function compress(pieces, width, height, fps, qp) {
  const raw = '-f rawvideo -pix_fmt rgb24';
  const ffmpeg = (args, input) => {
    const result = spawnSync('ffmpeg', `-v error -nostdin ${args}`.split(' '), { input, maxBuffer: 2 ** 30 });
    if (result.status !== 0) throw new Error(`ffmpeg ${args}: ${result.error?.message ?? result.stderr}`);
    return result.stdout;
  };
  const coded = ffmpeg(
    `${raw} -s ${width}x${height} -r ${fps} -i pipe:0 -threads 1 -c:v libx264 -preset veryfast -qp ${qp} -g 15 -pix_fmt yuv420p -f h264 pipe:1`,
    Buffer.concat(pieces),
  );
  const decoded = ffmpeg(`-f h264 -i pipe:0 ${raw} pipe:1`, coded);
  const size = width * height * 3;
  if (decoded.length !== size * pieces.length)
    throw new Error(`x264 gave back ${decoded.length / size} of ${pieces.length} frames`);
  return pieces.map((_, i) => decoded.subarray(i * size, (i + 1) * size));
}

/**
 * Applies one spatial distortion of the truth to the frames it covers, in place. `frames` are RGB bytes,
 * `level` is 0..2. Throws for a type that has no spatial form.
 */
export function distort(frames, { type, region }, level, { width, height, fps, seed }) {
  const box = rectangle(region, width, height);
  const pieces = frames.map((frame) => cut(frame, width, box));
  const changed = {
    blur: () => pieces.map((piece) => blur(piece, box.width, box.height, blurSigma[level])),
    noise: () => pieces.map((piece, i) => noise(piece, noiseSigma[level], seed + i)),
    overexposure: () => pieces.map((piece) => overexpose(piece, exposureGain[level])),
    compression: () => compress(pieces, box.width, box.height, fps, compressionQp[level]),
  }[type]();
  changed.forEach((piece, i) => {
    paste(frames[i], width, box, piece);
  });
}
