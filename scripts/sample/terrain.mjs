// The land of the sample scene: a valley with a lake, eroded, with its light and colours baked into a map.
// World axes in metres: x to the right, y away from the camera's first position, z up; the lake is at z = 0.
import { createNoise, mix, random, smoothstep } from './noise.mjs';

/** Towards the sun: low, from the left and a little from behind. */
export const sun = (() => {
  const v = [-0.86, 0.02, 0.44];
  const length = Math.hypot(...v);
  return v.map((c) => c / length);
})();
/** Linear radiance of direct sunlight and of the open sky on a white surface. */
export const sunLight = [2.75, 2.2, 1.55];
export const skyLight = [0.34, 0.46, 0.68];

const cells = 2048;
const cell = 4;
const originX = (-cells / 2) * cell;
const originY = -256;

const nearCells = 512;
const nearCell = 0.3;
const nearX = -68;
const nearY = -8;

/** Seconds of one call on a 2020s core: about six. Returns sampling functions and the maps behind them. */
export function createTerrain(seed) {
  const { fbm2, ridged, noise2 } = createNoise(seed);

  /** Where the far shore runs, and how far a point is behind it. */
  const shore = (x) =>
    360 + 85 * fbm2(x / 210 + 3.1, 0.5, 4) + 60 * smoothstep(40, -160, x) * noise2(x / 90, 7.7);
  /** A wooded spit that reaches into the lake from the left, nearer than the shore. */
  const spit = (x, y) => {
    const middle = 205 + 0.1 * x + 10 * noise2(x / 40, 3.3);
    const half = 24 * smoothstep(-22, -120, x + 14 * noise2(y / 22, 9.1)) + 3 * noise2(x / 15, y / 15);
    return half > 0 ? (half - Math.abs(y - middle)) * 0.16 : -9;
  };

  // 1. The uneroded shape on half the resolution.
  const half = cells / 2;
  const coarse = new Float32Array(half * half);
  for (let j = 0; j < half; j++) {
    const y = originY + j * 2 * cell;
    for (let i = 0; i < half; i++) {
      const x = originX + i * 2 * cell;
      const behind = y - shore(x);
      const wx = x + 170 * fbm2(x / 700, y / 700 + 31, 3);
      const wy = y + 170 * fbm2(x / 700 + 57, y / 700, 3);
      const valley = 260 * Math.sin(y / 1400 + 0.6) + 60;
      const side = smoothstep(60, 1250, Math.abs(wx - valley) * (1 - 0.00004 * wy));
      const reach = Math.max(0, behind);
      const envelope =
        1500 * (1 - Math.exp(-reach / 3600)) * mix(0.2, 1, Math.max(side, smoothstep(3000, 5200, wy)));
      const mountains = envelope * (0.25 + 0.95 * ridged(wx / 1750 + 4.3, wy / 1750 + 1.9, 7));
      const foothills =
        Math.min(26, reach * 0.09) + 22 * smoothstep(0, 500, reach) * (0.5 + fbm2(x / 150, y / 150, 4));
      coarse[j * half + i] =
        behind > 0 ? foothills + mountains * smoothstep(20, 900, reach) : Math.max(-9, behind * 0.12);
    }
  }

  // 2. Hydraulic erosion: droplets that run downhill, carry soil and leave it where they slow down (Beyer 2015).
  erode(coarse, half, random(seed + 1), 150_000);

  // 3. Full resolution: smooth interpolation, fine structure that grows with the slope.
  const height = new Float32Array(cells * cells);
  for (let j = 0; j < cells; j++) {
    const y = originY + j * cell;
    for (let i = 0; i < cells; i++) {
      const x = originX + i * cell;
      const u = Math.min(half - 2, i / 2);
      const v = Math.min(half - 2, j / 2);
      const h = bilinear(coarse, half, u, v);
      const slope =
        Math.abs(bilinear(coarse, half, Math.min(half - 2, u + 1), v) - h) +
        Math.abs(bilinear(coarse, half, u, Math.min(half - 2, v + 1)) - h);
      const rough = smoothstep(1, 8, slope) * smoothstep(15, 90, h);
      const land = h + rough * (17 * (ridged(x / 95, y / 95, 4) - 0.45) + 4 * fbm2(x / 16, y / 16, 2));
      height[j * cells + i] = Math.max(y < 330 ? spit(x, y) : -9, land);
    }
  }

  // 4. Shadows: one sweep along the light. `lit` is the height a point must reach to see the sun.
  const shadow = new Float32Array(cells * cells).fill(1);
  const lit = new Float32Array(cells * cells);
  const drift = sun[1] / sun[0];
  const fall = (sun[2] / -sun[0]) * cell;
  for (let i = 1; i < cells; i++) {
    for (let j = 1; j < cells - 1; j++) {
      const at = j - drift;
      const row = Math.floor(at);
      const t = at - row;
      const a = row * cells + i - 1;
      const b = a + cells;
      const above =
        row >= 0 && row < cells - 1 ? mix(Math.max(lit[a], height[a]), Math.max(lit[b], height[b]), t) : 0;
      const k = j * cells + i;
      lit[k] = above - fall;
      shadow[k] = 1 - smoothstep(-3, 14, lit[k] - height[k]);
    }
  }

  // 5. Colours, lit. Ambient light is held back in hollows: the land against its own blurred copy.
  const broad = blur(blur(height, cells, 10), cells, 10);
  const narrow = blur(blur(height, cells, 2), cells, 2);
  const colour = new Float32Array(cells * cells * 3);
  const forest = new Float32Array(cells * cells);
  for (let j = 1; j < cells - 1; j++) {
    const y = originY + j * cell;
    for (let i = 1; i < cells - 1; i++) {
      const k = j * cells + i;
      const x = originX + i * cell;
      const h = height[k];
      const gx = (height[k + 1] - height[k - 1]) / (2 * cell);
      const gy = (height[k + cells] - height[k - cells]) / (2 * cell);
      const steep = Math.hypot(gx, gy);
      const up = 1 / Math.sqrt(1 + steep * steep);
      const facing = Math.max(0, (-gx * sun[0] - gy * sun[1] + sun[2]) * up);
      const hollow = Math.min(1, Math.max(0.3, 1 + (h - broad[k]) / 55 + (h - narrow[k]) / 9));

      const patch = fbm2(x / 120, y / 120, 4);
      const grain = noise2(x / 7, y / 7) * 0.6 + noise2(x / 3.1, y / 3.1) * 0.4;
      const strata = 0.5 + 0.5 * Math.sin(h / 9 + 6 * patch + gx * 2);
      let r = mix(0.115, 0.19, strata) + 0.045 * grain + 0.06 * patch;
      let g = mix(0.112, 0.17, strata) + 0.043 * grain + 0.05 * patch;
      let b = mix(0.112, 0.15, strata) + 0.04 * grain + 0.04 * patch;
      const growth = smoothstep(0.95, 0.5, steep + 0.25 * grain) * smoothstep(560, 380, h + 150 * patch);
      r = mix(r, 0.13 + 0.05 * patch + 0.02 * grain, growth);
      g = mix(g, 0.15 + 0.03 * patch + 0.02 * grain, growth);
      b = mix(b, 0.052 + 0.01 * grain, growth);
      const woods =
        smoothstep(1.05, 0.7, steep) *
        smoothstep(430, 300, h + 190 * patch) *
        smoothstep(1.2, 4, h) *
        smoothstep(-0.32, -0.1, fbm2(x / 75 + 9, y / 75, 3));
      forest[k] = woods;
      const canopy = woods * smoothstep(900, 2200, y);
      r = mix(r, 0.028 + 0.012 * grain, canopy);
      g = mix(g, 0.046 + 0.016 * grain, canopy);
      b = mix(b, 0.024 + 0.008 * grain, canopy);
      const snow =
        smoothstep(520, 760, h + 230 * patch + 70 * grain - 60 * facing) *
        smoothstep(1.5, 0.95, steep + 0.3 * grain);
      r = mix(r, 0.78, snow);
      g = mix(g, 0.81, snow);
      b = mix(b, 0.86, snow);
      const beach = smoothstep(1.6, 0.4, h);
      r = mix(r, 0.27 + 0.04 * grain, beach);
      g = mix(g, 0.235 + 0.04 * grain, beach);
      b = mix(b, 0.18 + 0.03 * grain, beach);

      const direct = facing * shadow[k];
      const ambient = hollow * (0.55 + 0.45 * up);
      // Light that the sunlit side of the valley throws back into the shade.
      const bounce = 0.1 * hollow;
      colour[3 * k] = r * (sunLight[0] * direct + skyLight[0] * ambient + bounce);
      colour[3 * k + 1] = g * (sunLight[1] * direct + skyLight[1] * ambient + bounce * 0.8);
      colour[3 * k + 2] = b * (sunLight[2] * direct + skyLight[2] * ambient + bounce * 0.6);
    }
  }

  // 6. The near bank, on a grid of its own.
  const near = new Float32Array(nearCells * nearCells);
  for (let j = 0; j < nearCells; j++) {
    const y = nearY + j * nearCell;
    for (let i = 0; i < nearCells; i++) {
      const x = nearX + i * nearCell;
      const edge = 41 + 7 * fbm2(x / 22, 2.2, 3) + 5 * smoothstep(5, 30, x);
      const crest = smoothstep(edge + 3, 9, y);
      near[j * nearCells + i] =
        6.3 * crest -
        0.55 * (1 - smoothstep(edge + 8, edge - 2, y)) -
        0.4 +
        1.1 * crest * fbm2(x / 13, y / 13, 4) +
        0.05 * noise2(x / 0.9, y / 0.9);
    }
  }

  return {
    cells,
    cell,
    originX,
    originY,
    height,
    colour,
    forest,
    shadow,
    near,
    nearCells,
    nearCell,
    nearX,
    nearY,
    heightAt: (x, y) => bilinear(height, cells, (x - originX) / cell, (y - originY) / cell),
    nearHeightAt: (x, y) => bilinear(near, nearCells, (x - nearX) / nearCell, (y - nearY) / nearCell),
    mapAt: (map, x, y) => map[Math.round((y - originY) / cell) * cells + Math.round((x - originX) / cell)],
  };
}

function bilinear(map, size, u, v) {
  const x = Math.max(0, Math.min(size - 2, Math.floor(u)));
  const y = Math.max(0, Math.min(size - 2, Math.floor(v)));
  const k = y * size + x;
  return mix(mix(map[k], map[k + 1], u - x), mix(map[k + size], map[k + size + 1], u - x), v - y);
}

/** Box blur of a square map, edges clamped. */
function blur(map, size, radius) {
  const pass = (source, stride, step) => {
    const out = new Float32Array(source.length);
    for (let line = 0; line < size; line++) {
      const base = line * stride;
      let sum = 0;
      for (let i = -radius; i <= radius; i++) sum += source[base + Math.max(0, i) * step];
      for (let i = 0; i < size; i++) {
        out[base + i * step] = sum / (2 * radius + 1);
        sum +=
          source[base + Math.min(size - 1, i + radius + 1) * step] -
          source[base + Math.max(0, i - radius) * step];
      }
    }
    return out;
  };
  return pass(pass(map, size, 1), 1, size);
}

function erode(map, size, next, droplets) {
  const inertia = 0.08;
  const scale = 1 / 14;
  for (let n = 0; n < droplets; n++) {
    let x = 1 + next() * (size - 3);
    let y = 1 + next() * (size - 3);
    let dx = 0;
    let dy = 0;
    let speed = 1;
    let water = 1;
    let soil = 0;
    for (let life = 0; life < 70; life++) {
      const ix = Math.floor(x);
      const iy = Math.floor(y);
      const fx = x - ix;
      const fy = y - iy;
      const k = iy * size + ix;
      const a = map[k];
      const b = map[k + 1];
      const c = map[k + size];
      const d = map[k + size + 1];
      const h = mix(mix(a, b, fx), mix(c, d, fx), fy);
      if (h < 0.5) break;
      dx = dx * inertia - mix(b - a, d - c, fy) * scale * (1 - inertia);
      dy = dy * inertia - mix(c - a, d - b, fx) * scale * (1 - inertia);
      const length = Math.hypot(dx, dy);
      if (length < 1e-6) break;
      dx /= length;
      dy /= length;
      x += dx;
      y += dy;
      if (x < 1 || y < 1 || x >= size - 2 || y >= size - 2) break;
      const drop = (bilinear(map, size, x, y) - h) * scale;
      const capacity = Math.max(-drop, 0.008) * speed * water * 5;
      if (soil > capacity || drop > 0) {
        const left = drop > 0 ? Math.min(drop, soil) : (soil - capacity) * 0.28;
        soil -= left;
        const metres = left / scale;
        map[k] += metres * (1 - fx) * (1 - fy);
        map[k + 1] += metres * fx * (1 - fy);
        map[k + size] += metres * (1 - fx) * fy;
        map[k + size + 1] += metres * fx * fy;
      } else {
        const taken = Math.min((capacity - soil) * 0.3, -drop);
        soil += taken;
        // A brush of 3x3 cells keeps gullies from becoming one cell wide.
        const metres = taken / scale;
        for (let v = -1; v <= 1; v++) {
          for (let u = -1; u <= 1; u++)
            map[k + v * size + u] -= (metres * (2 - Math.abs(u)) * (2 - Math.abs(v))) / 16;
        }
      }
      speed = Math.sqrt(Math.max(0, speed * speed - drop * 4));
      water *= 0.985;
    }
  }
}
