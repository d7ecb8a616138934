// The sky of the sample scene: a clear evening gradient and cumulus clouds, marched once into a panorama over
// azimuth and the tangent of the elevation; a frame only looks it up.
import { createNoise, mix, smoothstep } from './noise.mjs';
import { sun } from './terrain.mjs';

const width = 1792;
const height = 576;
const azimuth = 0.86;
const low = -0.03;
const high = 0.56;

const base = 1250;
const top = 2500;

/** Linear radiance of the sky without clouds in a direction (unit vector); also what distance fades to. */
export function clearSky(x, y, z, out) {
  const towards = x * sun[0] + y * sun[1] + z * sun[2];
  const t = Math.exp(-5.2 * Math.max(0, z));
  const glow = 0.5 + 0.5 * towards;
  out[0] = mix(0.13, 0.62, t) + 0.22 * t * glow * glow;
  out[1] = mix(0.3, 0.66, t) + 0.1 * t * glow * glow;
  out[2] = mix(0.66, 0.76, t) - 0.05 * t * glow;
}

/** Returns the panorama (RGB, linear) with the mapping of a direction to it. */
export function createSky(seed) {
  const { fbm3, fbm2 } = createNoise(seed);

  /** Cloud water at a point: puffs over a slow pattern of coverage, rounder towards the top. */
  const density = (x, y, z, octaves) => {
    const rise = (z - base) / (top - base);
    if (rise < 0 || rise > 1) return 0;
    const cover = fbm2(x / 3600 + 2.4, y / 3600 + 8.2, 3);
    const shape = smoothstep(0, 0.08, rise) * (1 - rise * 0.9);
    const body = cover * 1.25 - 0.02 + 0.34 * shape - 0.36 - 0.25 * rise;
    if (body < -0.42) return 0;
    const d = body + fbm3(x / 640, y / 640, z / 520, octaves) * 0.95;
    return Math.max(0, d) * shape * 2.4;
  };

  const pixels = new Float32Array(width * height * 3);
  const clear = [0, 0, 0];
  for (let row = 0; row < height; row++) {
    const tangent = mix(high, low, row / (height - 1));
    for (let column = 0; column < width; column++) {
      const angle = ((column / (width - 1)) * 2 - 1) * azimuth;
      const norm = 1 / Math.sqrt(1 + tangent * tangent);
      const x = Math.sin(angle) * norm;
      const y = Math.cos(angle) * norm;
      const z = tangent * norm;
      clearSky(x, y, z, clear);
      let r = 0;
      let g = 0;
      let b = 0;
      let through = 1;
      if (z > 0.055) {
        const from = base / z;
        const to = Math.min(top / z, from + 9000);
        const steps = 34;
        const step = (to - from) / steps;
        // The start is jittered by a fixed pattern, which turns slices into grain; the panorama is smoothed below.
        let at = from + step * (((column * 7 + row * 13) % 16) / 16);
        for (let n = 0; n < steps && through > 0.02; n++, at += step) {
          const px = x * at;
          const py = y * at;
          const pz = z * at;
          const d = density(px, py, pz, 5);
          if (d <= 0.004) continue;
          const shade =
            density(px + sun[0] * 160, py + sun[1] * 160, pz + sun[2] * 160, 3) * 1.1 +
            density(px + sun[0] * 420, py + sun[1] * 420, pz + sun[2] * 420, 2) * 1.5;
          const light = 0.2 + 0.8 * Math.exp(-2.1 * shade);
          const rise = (pz - base) / (top - base);
          const absorbed = through * (1 - Math.exp(-d * step * 0.0075));
          r += absorbed * (1.45 * light + mix(0.2, 0.34, rise));
          g += absorbed * (1.22 * light + mix(0.23, 0.38, rise));
          b += absorbed * (0.98 * light + mix(0.3, 0.48, rise));
          through -= absorbed;
        }
        // Clouds far away dissolve in the haze.
        const haze = 1 - Math.exp(-from / 16000);
        const kept = (1 - through) * haze;
        r = r * (1 - haze) + clear[0] * kept;
        g = g * (1 - haze) + clear[1] * kept;
        b = b * (1 - haze) + clear[2] * kept;
        const wisp =
          0.2 *
          smoothstep(0.05, 0.45, fbm2((x / z) * 1.1 + 3, (y / z) * 2.6, 5) + 0.1) *
          smoothstep(0.1, 0.3, z);
        clear[0] = mix(clear[0], 0.95, wisp);
        clear[1] = mix(clear[1], 0.9, wisp);
        clear[2] = mix(clear[2], 0.88, wisp);
      }
      const k = (row * width + column) * 3;
      pixels[k] = r + clear[0] * through;
      pixels[k + 1] = g + clear[1] * through;
      pixels[k + 2] = b + clear[2] * through;
    }
  }
  const smooth = new Float32Array(pixels);
  for (let row = 1; row < height - 1; row++) {
    for (let column = 1; column < width - 1; column++) {
      for (let c = 0; c < 3; c++) {
        const k = (row * width + column) * 3 + c;
        const up = k - width * 3;
        const down = k + width * 3;
        smooth[k] =
          (4 * pixels[k] +
            2 * (pixels[k - 3] + pixels[k + 3] + pixels[up] + pixels[down]) +
            pixels[up - 3] +
            pixels[up + 3] +
            pixels[down - 3] +
            pixels[down + 3]) /
          16;
      }
    }
  }
  return {
    pixels: smooth,
    width,
    height,
    columnOf: (angle) => ((angle / azimuth + 1) / 2) * (width - 1),
    rowOf: (tangent) => ((high - tangent) / (high - low)) * (height - 1),
  };
}
