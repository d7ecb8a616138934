// Seeded randomness and gradient noise for the sample scene. Everything is a pure function of its seed, so that
// two renders of the clip are the same, pixel by pixel.

/** A stream of numbers in [0, 1): mulberry32. */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Hermite step from 0 at `a` to 1 at `b`; `a` may be larger than `b`. */
export function smoothstep(a, b, x) {
  const t = Math.min(1, Math.max(0, (x - a) / (b - a)));
  return t * t * (3 - 2 * t);
}

export const mix = (a, b, t) => a + (b - a) * t;

const fade = (t) => t * t * t * (t * (t * 6 - 15) + 10);

/** Perlin's improved gradient noise in two and three dimensions, roughly in [-1, 1], and sums of its octaves. */
export function createNoise(seed) {
  const next = random(seed);
  const shuffled = Array.from({ length: 256 }, (_, i) => i);
  for (let i = 255; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    [shuffled[i], shuffled[j]] = [shuffled[j], shuffled[i]];
  }
  const table = new Uint8Array(512);
  for (let i = 0; i < 512; i++) table[i] = shuffled[i & 255];
  const gradientX = new Float64Array(256);
  const gradientY = new Float64Array(256);
  for (let i = 0; i < 256; i++) {
    const angle = next() * 2 * Math.PI;
    gradientX[i] = Math.cos(angle);
    gradientY[i] = Math.sin(angle);
  }

  /** `period`, a power of two up to 256, makes the lattice repeat. */
  function noise2(x, y, period = 256) {
    const ix = Math.floor(x);
    const iy = Math.floor(y);
    const fx = x - ix;
    const fy = y - iy;
    const mask = period - 1;
    const left = table[ix & mask];
    const right = table[(ix + 1) & mask];
    const a = table[left + (iy & mask)];
    const b = table[right + (iy & mask)];
    const c = table[left + ((iy + 1) & mask)];
    const d = table[right + ((iy + 1) & mask)];
    const u = fade(fx);
    const v = fade(fy);
    const top = mix(gradientX[a] * fx + gradientY[a] * fy, gradientX[b] * (fx - 1) + gradientY[b] * fy, u);
    const bottom = mix(
      gradientX[c] * fx + gradientY[c] * (fy - 1),
      gradientX[d] * (fx - 1) + gradientY[d] * (fy - 1),
      u,
    );
    return 1.5 * mix(top, bottom, v);
  }

  function gradient3(hash, x, y, z) {
    const h = hash & 15;
    const u = h < 8 ? x : y;
    const v = h < 4 ? y : h === 12 || h === 14 ? x : z;
    return (h & 1 ? -u : u) + (h & 2 ? -v : v);
  }

  function noise3(x, y, z) {
    const ix = Math.floor(x);
    const iy = Math.floor(y);
    const iz = Math.floor(z);
    const fx = x - ix;
    const fy = y - iy;
    const fz = z - iz;
    const cx = ix & 255;
    const cy = iy & 255;
    const cz = iz & 255;
    const u = fade(fx);
    const v = fade(fy);
    const w = fade(fz);
    const a = table[cx] + cy;
    const b = table[cx + 1] + cy;
    const aa = table[a & 511] + cz;
    const ab = table[(a + 1) & 511] + cz;
    const ba = table[b & 511] + cz;
    const bb = table[(b + 1) & 511] + cz;
    const front = mix(
      mix(gradient3(table[aa], fx, fy, fz), gradient3(table[ba], fx - 1, fy, fz), u),
      mix(gradient3(table[ab], fx, fy - 1, fz), gradient3(table[bb], fx - 1, fy - 1, fz), u),
      v,
    );
    const back = mix(
      mix(gradient3(table[aa + 1], fx, fy, fz - 1), gradient3(table[ba + 1], fx - 1, fy, fz - 1), u),
      mix(gradient3(table[ab + 1], fx, fy - 1, fz - 1), gradient3(table[bb + 1], fx - 1, fy - 1, fz - 1), u),
      v,
    );
    return mix(front, back, w);
  }

  function fbm2(x, y, octaves, gain = 0.5) {
    let sum = 0;
    let amplitude = 0.5;
    for (let i = 0; i < octaves; i++) {
      sum += amplitude * noise2(x, y);
      // A turn of 37 degrees and an uneven step hide the lattice.
      const rotated = 1.61 * x + 1.21 * y + 17.3;
      y = 1.61 * y - 1.21 * x + 5.7;
      x = rotated;
      amplitude *= gain;
    }
    return sum;
  }

  function fbm3(x, y, z, octaves) {
    let sum = 0;
    let amplitude = 0.5;
    for (let i = 0; i < octaves; i++) {
      sum += amplitude * noise3(x, y, z);
      x = x * 2.03 + 11.1;
      y = y * 2.03 + 3.7;
      z = z * 2.03 + 7.9;
      amplitude *= 0.5;
    }
    return sum;
  }

  /** Ridged multifractal in [0, 1]: sharp crests, as mountains have. */
  function ridged(x, y, octaves) {
    let sum = 0;
    let amplitude = 0.55;
    let weight = 1;
    for (let i = 0; i < octaves; i++) {
      const crest = (1 - Math.min(1, Math.abs(noise2(x, y)))) ** 2;
      sum += amplitude * crest * weight;
      weight = Math.min(1, crest * 1.6);
      const rotated = 1.66 * x + 1.16 * y + 9.2;
      y = 1.66 * y - 1.16 * x + 4.1;
      x = rotated;
      amplitude *= 0.47;
    }
    return Math.min(1, sum);
  }

  return { noise2, noise3, fbm2, fbm3, ridged };
}

/** A square of `size` texels of tileable noise, from `first` cells a side upwards, normalised to mean 0, deviation 1. */
export function tileableNoise(seed, size, first, octaves, gain) {
  const { noise2 } = createNoise(seed);
  const out = new Float32Array(size * size);
  let square = 0;
  let mean = 0;
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      let sum = 0;
      let amplitude = 1;
      for (let o = 0, cells = first; o < octaves; o++, cells *= 2) {
        sum += amplitude * noise2((x * cells) / size, (y * cells) / size, Math.min(256, cells));
        amplitude *= gain;
      }
      out[y * size + x] = sum;
      mean += sum;
      square += sum * sum;
    }
  }
  mean /= out.length;
  const deviation = Math.sqrt(square / out.length - mean * mean);
  for (let i = 0; i < out.length; i++) out[i] = (out[i] - mean) / deviation;
  return out;
}
