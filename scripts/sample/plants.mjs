// Conifers, birches and grass of the sample scene, painted once, stroke by stroke, into textures with mipmaps.
// Texels are premultiplied linear RGBA; the sun stands to the left and a little behind the viewer.
import { mix, random } from './noise.mjs';
import { skyLight, sunLight } from './terrain.mjs';

function canvas(width, height) {
  const data = new Float32Array(width * height * 4);
  /** A soft dot of `radius` texels; `light` 0..1 is how much sun it gets, `open` how much sky. */
  const dot = (x, y, radius, albedo, light, open, alpha) => {
    const r = albedo[0] * (sunLight[0] * light + skyLight[0] * open);
    const g = albedo[1] * (sunLight[1] * light + skyLight[1] * open);
    const b = albedo[2] * (sunLight[2] * light + skyLight[2] * open);
    const reach = radius + 0.7;
    const x1 = Math.min(width - 1, Math.ceil(x + reach));
    const y1 = Math.min(height - 1, Math.ceil(y + reach));
    for (let j = Math.max(0, Math.floor(y - reach)); j <= y1; j++) {
      for (let i = Math.max(0, Math.floor(x - reach)); i <= x1; i++) {
        const cover = alpha * Math.min(1, Math.max(0, reach - Math.hypot(i - x, j - y)));
        if (cover <= 0) continue;
        const k = (j * width + i) * 4;
        const rest = 1 - cover;
        data[k] = data[k] * rest + r * cover;
        data[k + 1] = data[k + 1] * rest + g * cover;
        data[k + 2] = data[k + 2] * rest + b * cover;
        data[k + 3] = data[k + 3] * rest + cover;
      }
    }
  };
  return { data, width, height, dot };
}

/** Halves until one side is 4 texels. Level l is {data, width, height}. */
function mipmaps({ data, width, height }) {
  const levels = [{ data, width, height }];
  let last = levels[0];
  while (Math.min(last.width, last.height) > 4) {
    const w = last.width >> 1;
    const h = last.height >> 1;
    const next = new Float32Array(w * h * 4);
    for (let j = 0; j < h; j++) {
      for (let i = 0; i < w; i++) {
        for (let c = 0; c < 4; c++) {
          const k = (2 * j * last.width + 2 * i) * 4 + c;
          const below = k + last.width * 4;
          next[(j * w + i) * 4 + c] =
            (last.data[k] + last.data[k + 4] + last.data[below] + last.data[below + 4]) / 4;
        }
      }
    }
    last = { data: next, width: w, height: h };
    levels.push(last);
  }
  return levels;
}

/** A spruce; `detail` 1 is for a tree seen across the whole height of the frame. */
export function spruce(seed, height, detail) {
  const next = random(seed);
  const width = height / 2;
  const picture = canvas(width, height);
  const middle = width / 2;
  const lean = (next() - 0.5) * 0.03;
  const trunkAt = (t) => middle + lean * height * t * t;
  const unit = height / 1024;
  for (let y = height - 1; y > height * 0.03; y -= 0.5) {
    const t = 1 - y / height;
    const half = (1 - t) * 11 * unit + 0.8 * unit;
    for (let s = -1; s <= 1; s += 0.25) {
      const rough = 0.75 + 0.5 * next();
      picture.dot(
        trunkAt(t) + s * half,
        y,
        0.9 * unit + 0.3,
        [0.15 * rough, 0.105 * rough, 0.075 * rough],
        0.55 * Math.max(0.08, 0.4 - s * 0.6),
        0.5,
        1,
      );
    }
  }
  const whorls = Math.round(mix(30, 64, detail));
  const slim = 0.19 + 0.05 * next();
  const branches = [];
  for (let n = 0; n < whorls; n++) {
    const t = 0.06 + 0.925 * (n / (whorls - 1)) ** 0.92 + (next() - 0.5) * 0.006;
    const reach = (1 - t) ** 0.82 * slim * (t < 0.14 ? 0.45 + 4 * t : 1);
    const count = 7 + Math.floor(next() * 5);
    for (let b = 0; b < count; b++) {
      branches.push({ t, length: reach * (0.62 + 0.5 * next()) + 0.008, angle: next() * 2 * Math.PI });
    }
  }
  // Far branches first; those that point at the viewer cover them.
  branches.sort((a, b) => Math.cos(b.angle) - Math.cos(a.angle) || a.t - b.t);
  const tufts = Math.round(mix(7, 20, detail));
  const needles = detail > 0.5 ? 7 : 4;
  for (const { t, length, angle } of branches) {
    const sideways = Math.sin(angle);
    const away = Math.cos(angle);
    const hue = 0.82 + 0.36 * next();
    for (let n = 2; n <= tufts; n++) {
      const s = n / tufts;
      const out = s * length * height;
      const sag = (0.26 * s - 0.3 * s * s + 0.3 * (1 - t) * s) * length * height + away * -0.16 * out;
      const x = trunkAt(t) + sideways * out;
      const y = height * (1 - t) + sag;
      // Sunlit on the left and the near side, dark towards the trunk and under the branch above.
      const face = Math.max(0, -sideways * 0.86 - away * 0.3 + 0.2);
      const depth = s ** 1.3;
      for (let k = 0; k < needles; k++) {
        const spread = (next() - 0.5) * 15 * unit * (1.2 - 0.5 * s);
        const hang = next() * 17 * unit * (1.15 - 0.6 * s) * (0.5 + length * 2);
        const under = hang / (17 * unit);
        const light = face * (0.2 + 0.8 * depth) * (1 - 0.75 * Math.min(1, under)) * (0.55 + 0.6 * next());
        const open = (0.16 + 0.6 * depth) * (1 - 0.45 * Math.min(1, under));
        const tone = hue * (0.75 + 0.5 * next());
        const albedo = [0.05 * tone + 0.014 * s, 0.082 * tone + 0.012 * s, 0.034 * tone];
        const turn = (next() - 0.5) * 1.6 + sideways * 0.9;
        const stroke = (5 + 7 * next()) * unit;
        const pieces = Math.max(2, Math.ceil(stroke / 1.4));
        for (let p = 0; p < pieces; p++) {
          const q = (p / pieces) * stroke;
          picture.dot(
            x + spread + q * Math.sin(turn),
            y + hang + q * Math.cos(turn) * 0.8,
            Math.max(0.35, 1.05 * unit),
            albedo,
            light,
            open,
            0.85,
          );
        }
      }
    }
  }
  return mipmaps(picture);
}

/** A broad-leaved tree in early autumn: clouds of leaf dots around a branching frame. */
export function birch(seed, height) {
  const next = random(seed);
  const width = Math.round(height * 0.75);
  const picture = canvas(width, height);
  const unit = height / 256;
  for (let y = height - 1; y > height * 0.3; y -= 0.5) {
    const half = (1.1 + 2.2 * (y / height - 0.3)) * unit;
    for (let s = -1; s <= 1; s += 0.5) {
      picture.dot(
        width / 2 + s * half + 3 * unit * Math.sin(y / (40 * unit)),
        y,
        0.8 * unit,
        [0.4, 0.36, 0.3],
        0.4 - 0.35 * s,
        0.5,
        1,
      );
    }
  }
  const gold = next();
  const clumps = [];
  for (let n = 0; n < 46; n++) {
    const angle = next() * 2 * Math.PI;
    const radius = Math.sqrt(next());
    const y = 0.42 - 0.34 * Math.sin(angle) * radius;
    const bulge = Math.sqrt(Math.max(0.05, 1 - ((y - 0.45) / 0.42) ** 2));
    clumps.push({
      x: 0.5 + 0.36 * Math.cos(angle) * radius * bulge,
      y,
      z: next() * 2 - 1,
      size: 0.06 + 0.06 * next(),
    });
  }
  clumps.sort((a, b) => a.z - b.z);
  for (const clump of clumps) {
    const shade = 0.8 + 0.4 * next();
    for (let n = 0; n < 190; n++) {
      const a = next() * 2 * Math.PI;
      const r = Math.sqrt(next()) * clump.size;
      const dx = Math.cos(a) * r;
      const dy = Math.sin(a) * r * 0.8;
      const face =
        Math.max(0, 0.35 - (dx / clump.size) * 0.6 - (dy / clump.size) * 0.55 - (clump.x - 0.5) * 1.1) *
        (0.55 + 0.45 * clump.z);
      const tone = shade * (0.7 + 0.6 * next());
      const albedo = [mix(0.1, 0.3, gold) * tone, mix(0.13, 0.19, gold) * tone, 0.035 * tone];
      picture.dot(
        (clump.x + dx) * width,
        (clump.y + dy) * height,
        1.0 * unit,
        albedo,
        Math.max(0.03, face),
        0.35 + 0.3 * clump.z,
        0.9,
      );
    }
  }
  return mipmaps(picture);
}

/** A tuft of grass; `flowers` puts a few heads on top. */
export function tuft(seed, size, flowers) {
  const next = random(seed);
  const picture = canvas(size, size);
  const unit = size / 192;
  const blades = 58;
  for (let n = 0; n < blades; n++) {
    const root = size * (0.5 + (next() - 0.5) * 0.42);
    const bend = (next() - 0.5) * 0.75 * size + 0.05 * size;
    const tall = size * (0.35 + 0.6 * next() ** 0.8) * (1 - Math.abs(bend) / size / 2);
    const dry = next();
    const tone = 0.65 + 0.6 * next();
    const back = n < blades / 2 ? 0.6 : 1;
    const steps = Math.ceil(tall / 0.8);
    const headed = next() < 0.2;
    for (let i = 0; i <= steps; i++) {
      const t = i / steps;
      const x = root + bend * t * t;
      const y = size - 1 - tall * t;
      const wide = (1.9 * (1 - t) ** 0.7 + 0.25) * unit;
      const albedo = [
        mix(0.045, mix(0.13, 0.3, dry ** 3), t) * tone,
        mix(0.075, mix(0.19, 0.25, dry ** 3), t) * tone,
        mix(0.02, mix(0.04, 0.11, dry ** 3), t) * tone,
      ];
      picture.dot(x, y, wide, albedo, back * (0.1 + 0.75 * t) * (bend < 0 ? 1 : 0.72), 0.25 + 0.65 * t, 0.95);
    }
    if (headed) {
      for (let i = 0; i < 16; i++) {
        const t = 1 - 0.13 * (i / 16);
        picture.dot(
          root + bend * t * t + (next() - 0.5) * 4 * unit,
          size - 1 - tall * t,
          1.3 * unit,
          [0.36, 0.29, 0.17],
          0.8,
          0.8,
          0.9,
        );
      }
    }
  }
  if (flowers) {
    for (let n = 0; n < 6; n++) {
      const cx = size * (0.22 + 0.56 * next());
      const cy = size * (0.16 + 0.42 * next());
      const petal = flowers === 1 ? [0.72, 0.7, 0.62] : [0.46, 0.2, 0.5];
      for (let i = 0; i < 9; i++) {
        const a = (i / 9) * 2 * Math.PI;
        picture.dot(
          cx + Math.cos(a) * 4.2 * unit,
          cy + Math.sin(a) * 3.1 * unit,
          1.9 * unit,
          petal,
          0.75 - 0.25 * Math.cos(a + 2.4),
          0.8,
          1,
        );
      }
      picture.dot(cx, cy, 2.2 * unit, [0.55, 0.38, 0.05], 0.8, 0.8, 1);
    }
  }
  // The roots fade out: the ground a tuft stands on would cut them off in a straight line.
  const fadeRows = Math.round(size * 0.16);
  for (let y = size - fadeRows; y < size; y++) {
    const keep = (size - 1 - y) / fadeRows;
    for (let i = y * size * 4; i < (y + 1) * size * 4; i++) picture.data[i] *= keep;
  }
  return mipmaps(picture);
}
