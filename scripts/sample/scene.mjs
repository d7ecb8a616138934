// The sample scene: a mountain lake in evening light, seen by a camera that travels along its bank. A software
// renderer: the land is a height field traced column by column (a column of pixels is a vertical plane, because
// the lens is shifted instead of tilted), plants are textured cards, the lake mirrors a second, smaller view from
// below its surface.
import { createNoise, mix, random, smoothstep, tileableNoise } from './noise.mjs';
import { birch, spruce, tuft } from './plants.mjs';
import { clearSky, createSky } from './sky.mjs';
import { createTerrain, sun } from './terrain.mjs';

const detailSize = 512;
const rippleSize = 512;
const far = 7600;

/** Slopes of a periodic water surface, a sum of waves with random phases; with mipmaps, [dx, dy] per texel. */
function ripples(seed) {
  const next = random(seed);
  const waves = Array.from({ length: 72 }, () => {
    const frequency = 3 + 38 * next() ** 1.7;
    const angle = (next() - 0.5) * 1.9 + 1.15;
    const kx = Math.round(frequency * Math.cos(angle));
    const ky = Math.round(frequency * Math.sin(angle));
    return { kx, ky, phase: next() * 2 * Math.PI, size: 1 / (1 + Math.hypot(kx, ky)) ** 0.55 };
  });
  let level = { size: rippleSize, data: new Float32Array(rippleSize * rippleSize * 2) };
  let square = 0;
  const turn = (2 * Math.PI) / rippleSize;
  for (let y = 0; y < rippleSize; y++) {
    for (let x = 0; x < rippleSize; x++) {
      let dx = 0;
      let dy = 0;
      for (const w of waves) {
        const c = Math.cos(turn * (w.kx * x + w.ky * y) + w.phase) * w.size;
        dx += c * w.kx;
        dy += c * w.ky;
      }
      const k = (y * rippleSize + x) * 2;
      level.data[k] = dx;
      level.data[k + 1] = dy;
      square += dx * dx + dy * dy;
    }
  }
  const scale = 1 / Math.sqrt(square / (rippleSize * rippleSize));
  for (let i = 0; i < level.data.length; i++) level.data[i] *= scale;
  const levels = [level];
  while (level.size > 4) {
    const size = level.size / 2;
    const data = new Float32Array(size * size * 2);
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        for (let c = 0; c < 2; c++) {
          const k = (2 * y * level.size + 2 * x) * 2 + c;
          const below = k + level.size * 2;
          data[(y * size + x) * 2 + c] =
            (level.data[k] + level.data[k + 2] + level.data[below] + level.data[below + 2]) / 4;
        }
      }
    }
    level = { size, data };
    levels.push(level);
  }
  return levels;
}

/** Where every plant stands. Cards: position, width and height in metres, texture, tint, stiffness in the wind. */
function plant(terrain, seed) {
  const next = random(seed);
  const { fbm2 } = createNoise(seed + 1);
  const mid = [0, 1, 2, 3, 4, 5].map((n) => spruce(seed + 10 + n, 256, 0.15));
  const leafy = [0, 1, 2].map((n) => birch(seed + 30 + n, 256));
  const hero = [0, 1, 2].map((n) => spruce(seed + 40 + n, 1024, 1));
  const grass = [0, 1, 2, 3, 4, 5, 6, 7].map((n) => tuft(seed + 60 + n, 192, n === 6 ? 1 : n === 7 ? 2 : 0));
  const cards = [];
  const add = (x, y, z, height, levels, tint, warm, sway) => {
    const width = (height * levels[0].width) / levels[0].height;
    cards.push({
      x,
      y,
      z,
      width,
      height,
      levels,
      red: tint * warm,
      green: tint,
      blue: tint / warm,
      sway,
      phase: next() * 6.28,
    });
  };

  for (let n = 0; n < 260_000; n++) {
    const y = 140 + 2300 * next() ** 1.6;
    const x = (next() * 2 - 1) * (0.66 * y + 60);
    const roll = next();
    if (roll > terrain.mapAt(terrain.forest, x, y) * smoothstep(2600, 500, y) * 0.34) continue;
    const z = terrain.heightAt(x, y);
    const light = mix(0.3, 1, terrain.mapAt(terrain.shadow, x, y)) * (0.75 + 0.5 * next());
    const low = z < 30 && next() < 0.2;
    add(
      x,
      y,
      z - 0.3,
      (low ? 9 : 13) + 12 * next() ** 1.4,
      low ? leafy[n % 3] : mid[n % 6],
      light,
      0.94 + 0.12 * next(),
      0.004,
    );
  }
  // The bank the camera travels along: spruces at its ends, grass everywhere.
  const stands = [
    [-22.5, 30, 17, 0],
    [-17.6, 26, 11, 1],
    [-27, 38, 20, 2],
    [-12.8, 33.5, 5.5, 1],
    [27.5, 31, 15.5, 1],
    [33, 36, 19, 2],
    [23.6, 35, 7, 0],
    [45, 33, 18, 0],
    [52, 37, 21, 1],
    [40.5, 37.5, 10, 2],
    [-40, 36, 19, 1],
    [-34, 31, 14, 2],
  ];
  for (const [x, y, height, variant] of stands) {
    add(x, y, terrain.nearHeightAt(x, y) - 0.2, height, hero[variant], 0.95 + 0.15 * next(), 1, 0.006);
  }
  for (let n = 0; n < 34_000; n++) {
    const y = 4.5 + 38 * next() ** 0.95;
    const x = (next() * 2 - 1) * (22 + 0.75 * y) + 13;
    const z = terrain.nearHeightAt(x, y);
    if (z < 0.25) continue;
    const flower = next() < 0.035;
    const patch = fbm2(x / 7, y / 7, 3);
    const lush = smoothstep(-0.3, 0.35, fbm2(x / 11 + 5, y / 11, 3));
    const kind = flower ? 6 + (n & 1) : n % 6;
    add(
      x,
      y,
      z - 0.04,
      (0.16 + 0.34 * next() ** 1.6 + 0.3 * Math.max(0, patch + 0.15)) * (flower ? 1.15 : 1),
      grass[kind],
      (0.5 + 0.36 * next()) * mix(1, 0.78, lush),
      mix(1.06, 0.84, lush) + 0.1 * next(),
      0.06,
    );
  }
  return cards;
}

/**
 * Builds the scene once (about half a minute) and returns `render(time)`: the frame at `time` seconds as a
 * Uint8Array of RGB rows. `supersampling` is the number of rendered pixels per output pixel and side.
 */
export function createScene({ width, height, supersampling, seed }) {
  const terrain = createTerrain(seed);
  const sky = createSky(seed + 100);
  const cards = plant(terrain, seed + 200);
  const detail = tileableNoise(seed + 300, detailSize, 4, 7, 0.72);
  const water = ripples(seed + 400);
  const dither = random(seed + 500);
  const ditherTable = Float32Array.from({ length: 65_536 }, () => dither() - 0.5);

  const W = Math.round(width * supersampling);
  const H = Math.round(height * supersampling);
  const focal = W * 0.86;
  const horizon = H * 0.475;
  const main = view(W, H, focal, horizon);
  // The mirrored view needs only what lies above the horizon, at half the resolution.
  const mirrored = view(W >> 1, Math.ceil(horizon / 2), focal / 2, horizon / 2);
  const toneTable = tone();
  const resampler = resample(W, H, width, height);

  function view(w, h, f, line) {
    return {
      w,
      h,
      f,
      line,
      depth: new Float32Array(w * h),
      light: new Float32Array(w * h * 3),
      // What plants add to a pixel, and how much of what is behind them they let through.
      plants: new Float32Array(w * h * 3),
      through: new Float32Array(w * h),
    };
  }

  /** Camera at a time: a slow dolly along the bank with the sway of a hand. */
  function camera(t) {
    const x = -8.5 + 0.85 * t;
    const y = 0.25 * t;
    const z = 8.35 + 0.1 * Math.sin(t * 0.9) + 0.04 * Math.sin(t * 2.3 + 1);
    const yaw = 0.045 - 0.0055 * t + 0.0035 * Math.sin(t * 1.1) + 0.0012 * Math.sin(t * 3.1);
    return { x, y, z, cos: Math.cos(yaw), sin: Math.sin(yaw), lift: 0.002 * Math.sin(t * 1.7) * focal };
  }

  /** Depth of the first surface per pixel, front to back; 0 is sky, a negative depth is water. Column-major. */
  function trace(v, cam, isMirror) {
    const { w, h, f, depth } = v;
    const line = v.line + (isMirror ? cam.lift / 2 : cam.lift);
    const eye = isMirror ? -cam.z : cam.z;
    depth.fill(0);
    const { height: map, cells, cell, originX, originY, near, nearCells, nearCell, nearX, nearY } = terrain;
    const ratio = isMirror ? 1.0065 : 1.0042;
    for (let px = 0; px < w; px++) {
      const across = (px + 0.5 - w / 2) / f;
      const dirX = cam.cos * across + cam.sin;
      const dirY = cam.cos - cam.sin * across;
      const column = px * h;
      let lowest = isMirror ? Math.min(h, Math.floor(line)) : h;
      let lastDepth = isMirror ? 120 : 3.2;
      let lastHeight = isMirror ? 0 : 6;
      for (let d = lastDepth; d < far && lowest > 0; d *= ratio) {
        const x = cam.x + d * dirX;
        const y = cam.y + d * dirY;
        let z;
        if (y < 58 && !isMirror) {
          const u = (x - nearX) / nearCell;
          const s = (y - nearY) / nearCell;
          const ix = u | 0;
          const iy = s | 0;
          const k = iy * nearCells + ix;
          const fx = u - ix;
          const a = near[k] + (near[k + 1] - near[k]) * fx;
          const b = near[k + nearCells] + (near[k + nearCells + 1] - near[k + nearCells]) * fx;
          z = a + (b - a) * (s - iy);
        } else {
          const u = (x - originX) / cell;
          const s = (y - originY) / cell;
          const ix = u | 0;
          const iy = s | 0;
          if (ix < 0 || ix >= cells - 1 || iy >= cells - 1) break;
          const k = iy * cells + ix;
          const fx = u - ix;
          const a = map[k] + (map[k + 1] - map[k]) * fx;
          const b = map[k + cells] + (map[k + cells + 1] - map[k + cells]) * fx;
          z = a + (b - a) * (s - iy);
        }
        if (z < 0) z = 0;
        const row = line - (f * (z - eye)) / d;
        if (row < lowest - 0.5 && !(isMirror && z === 0)) {
          const first = Math.max(0, Math.ceil(row - 0.5));
          for (let r = lowest - 1; r >= first; r--) {
            // The ray of this row against the straight piece of land between the last two samples.
            const rise = (line - r - 0.5) / f;
            const slope = (z - lastHeight) / (d - lastDepth);
            let hit = (lastHeight - slope * lastDepth - eye) / (rise - slope);
            if (!(hit >= lastDepth)) hit = lastDepth;
            else if (hit > d) hit = d;
            const level = eye + rise * hit;
            depth[column + r] = level < 0.02 && !isMirror ? -hit : hit;
          }
          if (first < lowest) lowest = first;
        }
        lastDepth = d;
        lastHeight = z;
      }
    }
  }

  /** Light of land and sky for every traced pixel; water is left for later. */
  function shade(v, cam, isMirror, time) {
    const { w, h, f, depth, light } = v;
    const line = v.line + (isMirror ? cam.lift / 2 : cam.lift);
    const eye = isMirror ? -cam.z : cam.z;
    const { colour, cells, cell, originX, originY, near, nearCells, nearCell, nearX, nearY } = terrain;
    const haze = [0, 0, 0];
    const mask = detailSize - 1;
    const drift = time * 0.35;
    for (let px = 0; px < w; px++) {
      const across = (px + 0.5 - w / 2) / f;
      const dirX = cam.cos * across + cam.sin;
      const dirY = cam.cos - cam.sin * across;
      const length = Math.hypot(dirX, dirY);
      clearSky(dirX / length, dirY / length, 0.05, haze);
      const u = sky.columnOf(Math.atan2(dirX, dirY)) + drift;
      const iu = Math.max(0, Math.min(sky.width - 2, u | 0));
      const fu = u - iu;
      for (let r = 0; r < h; r++) {
        const k = px * h + r;
        const d = depth[k];
        const o = k * 3;
        const rise = (line - r - 0.5) / f;
        if (d === 0) {
          const s = sky.rowOf(rise / length);
          const is = Math.max(0, Math.min(sky.height - 2, s | 0));
          const fs = s - is;
          const a = (is * sky.width + iu) * 3;
          const b = a + sky.width * 3;
          const w00 = (1 - fu) * (1 - fs);
          const w10 = fu * (1 - fs);
          const w01 = (1 - fu) * fs;
          const w11 = fu * fs;
          const p = sky.pixels;
          light[o] = p[a] * w00 + p[a + 3] * w10 + p[b] * w01 + p[b + 3] * w11;
          light[o + 1] = p[a + 1] * w00 + p[a + 4] * w10 + p[b + 1] * w01 + p[b + 4] * w11;
          light[o + 2] = p[a + 2] * w00 + p[a + 5] * w10 + p[b + 2] * w01 + p[b + 5] * w11;
          continue;
        }
        if (d < 0) continue;
        const x = cam.x + d * dirX;
        const y = cam.y + d * dirY;
        const z = eye + rise * d;
        let red;
        let green;
        let blue;
        if (y < 58 && !isMirror) {
          const gx = (x - nearX) / nearCell;
          const gy = (y - nearY) / nearCell;
          const n = Math.min(nearCells - 2, gy | 0) * nearCells + Math.min(nearCells - 2, gx | 0);
          const slopeX = (near[n + 1] - near[n]) / nearCell;
          const slopeY = (near[n + nearCells] - near[n]) / nearCell;
          const facing = Math.max(
            0,
            (-slopeX * sun[0] - slopeY * sun[1] + sun[2]) / Math.hypot(1, slopeX, slopeY),
          );
          const fine = detail[(((y * 61) | 0) & mask) * detailSize + (((x * 61) | 0) & mask)];
          const coarse = detail[(((y * 9) | 0) & mask) * detailSize + (((x * 9) | 0) & mask)];
          const wet = smoothstep(1.1, 0.3, z);
          const tone = Math.max(0.3, 1 + 0.22 * fine + 0.15 * coarse);
          const sunny = 0.35 + 1.9 * facing;
          red = mix(0.05, 0.2, wet) * tone * sunny;
          green = mix(0.06, 0.17, wet) * tone * sunny * 0.93;
          blue = mix(0.02, 0.125, wet) * tone * (0.4 + 1.2 * facing);
        } else {
          const gx = (x - originX) / cell;
          const gy = (y - originY) / cell;
          const ix = gx | 0;
          const iy = gy | 0;
          const a = (iy * cells + ix) * 3;
          const b = a + cells * 3;
          const fx = gx - ix;
          const fy = gy - iy;
          const w00 = (1 - fx) * (1 - fy);
          const w10 = fx * (1 - fy);
          const w01 = (1 - fx) * fy;
          const w11 = fx * fy;
          red = colour[a] * w00 + colour[a + 3] * w10 + colour[b] * w01 + colour[b + 3] * w11;
          green = colour[a + 1] * w00 + colour[a + 4] * w10 + colour[b + 1] * w01 + colour[b + 4] * w11;
          blue = colour[a + 2] * w00 + colour[a + 5] * w10 + colour[b + 2] * w01 + colour[b + 5] * w11;
          // Structure below the map's resolution, for as long as a pixel is finer; height bends it round cliffs.
          const strength = 0.2 * smoothstep(3400, 1200, d);
          if (strength > 0) {
            const tx = x * 1.6 + z * 0.9;
            const ty = y * 1.6 + z * 1.3;
            const jx = Math.floor(tx);
            const jy = Math.floor(ty);
            const qx = tx - jx;
            const qy = ty - jy;
            const r0 = (jy & mask) * detailSize;
            const r1 = ((jy + 1) & mask) * detailSize;
            const c0 = jx & mask;
            const c1 = (jx + 1) & mask;
            const t0 = detail[r0 + c0] + (detail[r0 + c1] - detail[r0 + c0]) * qx;
            const t1 = detail[r1 + c0] + (detail[r1 + c1] - detail[r1 + c0]) * qx;
            const tone = Math.max(0.35, 1 + strength * (t0 + (t1 - t0) * qy));
            red *= tone;
            green *= tone;
            blue *= tone;
          }
        }
        const clear = Math.exp(-d / 7400 - (d / 5200) * Math.exp(-Math.max(0, z) / 120) * 0.55);
        light[o] = red * clear + haze[0] * 0.86 * (1 - clear);
        light[o + 1] = green * clear + haze[1] * 0.86 * (1 - clear);
        light[o + 2] = blue * clear + haze[2] * 0.9 * (1 - clear);
      }
    }
  }

  /** Plants, near ones first, so that what they hide costs nothing. */
  function drawCards(v, cam, isMirror, time) {
    const { w, h, f, depth, light, plants, through } = v;
    const line = v.line + (isMirror ? cam.lift / 2 : cam.lift);
    const eye = isMirror ? -cam.z : cam.z;
    plants.fill(0);
    through.fill(1);
    for (const card of cards) {
      const rx = card.x - cam.x;
      const ry = card.y - cam.y;
      card.d = rx * cam.sin + ry * cam.cos;
      card.s = rx * cam.cos - ry * cam.sin;
    }
    cards.sort((a, b) => a.d - b.d);
    const haze = [0, 0, 0];
    clearSky(cam.sin, cam.cos, 0.05, haze);
    for (const card of cards) {
      const { d } = card;
      if (d < 3.5 || (isMirror && d < 120)) continue;
      const scale = f / d;
      const tall = card.height * scale;
      const wide = card.width * scale;
      const centre = w / 2 + card.s * scale;
      if (centre + wide < 0 || centre - wide > w) continue;
      const foot = line - (card.z - eye) * scale;
      if (foot - tall > h || foot < 0) continue;
      const level = Math.max(
        0,
        Math.min(card.levels.length - 1, Math.round(Math.log2(card.levels[0].height / tall) + 0.15)),
      );
      const { data, width: tw, height: th } = card.levels[level];
      const clear = Math.exp(-d / 7400 - (d / 5200) * Math.exp(-Math.max(0, card.z) / 120) * 0.55);
      const airRed = haze[0] * 0.86 * (1 - clear);
      const airGreen = haze[1] * 0.86 * (1 - clear);
      const airBlue = haze[2] * 0.9 * (1 - clear);
      const red = card.red * clear;
      const green = card.green * clear;
      const blue = card.blue * clear;
      const gust = 0.6 + 0.4 * Math.sin(time * 0.8 + card.x * 0.08);
      const bend = card.sway * (Math.sin(time * 2.1 + card.phase * 0.35 + card.x * 0.45) * gust + 0.5) * tall;
      const margin = Math.abs(bend);
      const x0 = Math.max(0, Math.floor(centre - wide / 2 - margin));
      const x1 = Math.min(w - 1, Math.ceil(centre + wide / 2 + margin));
      const y0 = Math.max(0, Math.floor(foot - tall));
      const y1 = Math.min(h - 1, Math.floor(foot));
      const limit = d * 0.985;
      const stepV = th / tall;
      const stepU = tw / wide;
      for (let px = x0; px <= x1; px++) {
        const column = px * h;
        for (let r = y0; r <= y1; r++) {
          const open = through[column + r];
          if (open < 0.02) continue;
          const behind = depth[column + r];
          if (behind !== 0 && (behind < 0 ? -behind : behind) < limit) continue;
          const fromTop = r + 0.5 - (foot - tall);
          const grown = 1 - fromTop / tall;
          const su = (px + 0.5 - (centre + bend * grown * grown - wide / 2)) * stepU - 0.5;
          const sv = fromTop * stepV - 0.5;
          const iu = Math.floor(su);
          const iv = sv < 0 ? 0 : sv | 0;
          if (iu < 0 || iu >= tw - 1 || iv >= th - 1) continue;
          const a = (iv * tw + iu) * 4;
          const b = a + tw * 4;
          const fu = su - iu;
          const fv = sv < 0 ? 0 : sv - iv;
          const w11 = fu * fv;
          const w10 = fu - w11;
          const w01 = fv - w11;
          const w00 = 1 - fu - w01;
          const alpha = data[a + 3] * w00 + data[a + 7] * w10 + data[b + 3] * w01 + data[b + 7] * w11;
          if (alpha < 0.004) continue;
          const o = (column + r) * 3;
          plants[o] +=
            open *
            ((data[a] * w00 + data[a + 4] * w10 + data[b] * w01 + data[b + 4] * w11) * red + airRed * alpha);
          plants[o + 1] +=
            open *
            ((data[a + 1] * w00 + data[a + 5] * w10 + data[b + 1] * w01 + data[b + 5] * w11) * green +
              airGreen * alpha);
          plants[o + 2] +=
            open *
            ((data[a + 2] * w00 + data[a + 6] * w10 + data[b + 2] * w01 + data[b + 6] * w11) * blue +
              airBlue * alpha);
          through[column + r] = open * (1 - alpha);
        }
      }
    }
    for (let k = 0, o = 0; k < w * h; k++, o += 3) {
      const open = through[k];
      if (open === 1) continue;
      light[o] = light[o] * open + plants[o];
      light[o + 1] = light[o + 1] * open + plants[o + 1];
      light[o + 2] = light[o + 2] * open + plants[o + 2];
    }
  }

  function slopeAt(x, y, lod, out) {
    const level = water[Math.max(0, Math.min(water.length - 1, lod | 0))];
    const { size, data } = level;
    const scale = size / rippleSize;
    const u = x * scale;
    const v = y * scale;
    const fu0 = Math.floor(u);
    const fv0 = Math.floor(v);
    const fu = u - fu0;
    const fv = v - fv0;
    const m = size - 1;
    const a = (fv0 & m) * size;
    const b = ((fv0 + 1) & m) * size;
    const c0 = fu0 & m;
    const c1 = (fu0 + 1) & m;
    const k00 = (a + c0) * 2;
    const k10 = (a + c1) * 2;
    const k01 = (b + c0) * 2;
    const k11 = (b + c1) * 2;
    const w11 = fu * fv;
    const w10 = fu - w11;
    const w01 = fv - w11;
    const w00 = 1 - fu - w01;
    out[0] += data[k00] * w00 + data[k10] * w10 + data[k01] * w01 + data[k11] * w11;
    out[1] += data[k00 + 1] * w00 + data[k10 + 1] * w10 + data[k01 + 1] * w01 + data[k11 + 1] * w11;
  }

  /** Smears a view's light along its columns (box, twice) into its `plants`, which are spent by then: the
   *  reflection in water whose ripples are finer than a pixel. */
  function smear({ w, h, light, plants }, radius) {
    const line = new Float32Array(h);
    const pass = (from, to, start, step) => {
      let sum = 0;
      for (let i = -radius; i <= radius; i++) sum += from[start + Math.min(h - 1, Math.max(0, i)) * step];
      for (let i = 0; i < h; i++) {
        line[i] = sum / (2 * radius + 1);
        sum +=
          from[start + Math.min(h - 1, i + radius + 1) * step] - from[start + Math.max(0, i - radius) * step];
      }
      for (let i = 0; i < h; i++) to[start + i * step] = line[i];
    };
    for (let px = 0; px < w; px++) {
      for (let c = 0; c < 3; c++) {
        pass(light, plants, px * h * 3 + c, 3);
        pass(plants, plants, px * h * 3 + c, 3);
      }
    }
  }

  /** The lake: the mirrored view, broken by ripples, over dark water, by Fresnel's law (Schlick). */
  function drawWater(cam, time) {
    const { w, h, f, depth, light } = main;
    const line = main.line + cam.lift;
    const mirrorLine = mirrored.line + cam.lift / 2;
    const slope = [0, 0];
    const deep = [0.018, 0.046, 0.058];
    const shore = [0.05, 0.05, 0.03];
    const air = [0.3, 0.32, 0.36];
    const sharp = mirrored.light;
    smear(mirrored, 7);
    const blurred = mirrored.plants;
    const texel = rippleSize / 26;
    for (let px = 0; px < w; px++) {
      const across = (px + 0.5 - w / 2) / f;
      const dirX = cam.cos * across + cam.sin;
      const dirY = cam.cos - cam.sin * across;
      for (let r = Math.max(0, Math.floor(line)); r < h; r++) {
        const k = px * h + r;
        if (depth[k] >= 0) continue;
        const d = -depth[k];
        const x = cam.x + d * dirX;
        const y = cam.y + d * dirY;
        // A pixel covers far more of the lake in depth than across.
        const footprint = Math.sqrt((d / f) * ((d * d) / (f * cam.z)));
        const lod = Math.max(0, Math.log2(footprint * texel) + 0.7);
        slope[0] = 0;
        slope[1] = 0;
        slopeAt((x + 0.3 * time) * texel, (y + 0.5 * time) * texel, lod, slope);
        slopeAt(
          (x * 0.43 - y * 0.2 - 0.2 * time) * texel,
          (y * 0.43 + x * 0.2 + 0.24 * time) * texel,
          lod - 1,
          slope,
        );
        const gusts =
          detail[
            ((((y + 0.8 * time) * 0.9) | 0) & 511) * detailSize + ((((x + 0.5 * time) * 0.35) | 0) & 511)
          ];
        const rough = 0.0085 * Math.max(0.3, 1 + 0.3 * gusts) * (1 + 0.2 * lod);
        const smeared = smoothstep(1.2, 3.2, lod);
        const clean = 1 - smeared;
        const tiltX = slope[0] * rough;
        const tiltY = slope[1] * rough;
        const grazing = Math.max(0.01, (r + 0.5 - line) / f + tiltY);
        const fresnel = 0.02 + 0.98 * (1 - grazing / Math.hypot(1, grazing)) ** 5;
        let mu = (px + 0.5) / 2 + tiltX * f * 0.9 - 0.5;
        let mv = mirrorLine - ((r + 0.5 - line) / 2 + Math.max(tiltY, -grazing) * f * 0.85) - 0.5;
        mu = Math.max(0, Math.min(mirrored.w - 1.001, mu));
        mv = Math.max(0, Math.min(mirrored.h - 1.001, mv));
        const iu = mu | 0;
        const iv = mv | 0;
        const fu = mu - iu;
        const fv = mv - iv;
        const a = (iu * mirrored.h + iv) * 3;
        const b = a + mirrored.h * 3;
        const w11 = fu * fv;
        const w10 = fu - w11;
        const w01 = fv - w11;
        const w00 = 1 - fu - w01;
        const shallow = Math.exp(-Math.max(0, d - 44) / 14);
        const o = k * 3;
        const keep = 1 - fresnel;
        const mist = 1 - Math.exp(-d / 5200);
        for (let c = 0; c < 3; c++) {
          const n = a + c;
          const m = b + c;
          const seen =
            (sharp[n] * w00 + sharp[m] * w10 + sharp[n + 3] * w01 + sharp[m + 3] * w11) * clean +
            (blurred[n] * w00 + blurred[m] * w10 + blurred[n + 3] * w01 + blurred[m + 3] * w11) * smeared;
          light[o + c] = seen * fresnel + (deep[c] + shore[c] * shallow) * keep + air[c] * mist;
        }
      }
    }
  }

  const flock = (() => {
    const next = random(seed + 600);
    return Array.from({ length: 13 }, (_, n) => ({
      x: -64 + (n % 2 ? -1 : 1) * n * 1.7 + 2 * next(),
      y: 150 + n * 2.4 + 4 * next(),
      z: 34 + n * 0.35 + 2 * next(),
      beat: 7.5 + 1.5 * next(),
      phase: 6.28 * next(),
    }));
  })();

  /** Birds that cross the valley: a body and two wings of two strokes each. */
  function drawBirds(cam, time) {
    const { w, h, f, light } = main;
    const stroke = (ax, ay, bx, by, radius) => {
      const steps = Math.ceil(Math.hypot(bx - ax, by - ay)) + 1;
      for (let i = 0; i <= steps; i++) {
        const x = ax + ((bx - ax) * i) / steps;
        const y = ay + ((by - ay) * i) / steps;
        for (let px = Math.floor(x - radius - 1); px <= x + radius + 1; px++) {
          for (let r = Math.floor(y - radius - 1); r <= y + radius + 1; r++) {
            if (px < 0 || r < 0 || px >= w || r >= h) continue;
            const cover =
              0.55 * Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(px + 0.5 - x, r + 0.5 - y)));
            const o = (px * h + r) * 3;
            light[o] = light[o] * (1 - cover) + 0.06 * cover;
            light[o + 1] = light[o + 1] * (1 - cover) + 0.058 * cover;
            light[o + 2] = light[o + 2] * (1 - cover) + 0.062 * cover;
          }
        }
      }
    };
    for (const bird of flock) {
      const x = bird.x + 11.5 * time - cam.x;
      const y = bird.y - 1.2 * time - cam.y;
      const z = bird.z + 0.5 * time + 0.25 * Math.sin(bird.beat * time + bird.phase) - cam.z;
      const d = x * cam.sin + y * cam.cos;
      const s = x * cam.cos - y * cam.sin;
      const scale = f / d;
      const px = w / 2 + s * scale;
      const py = main.line + cam.lift - z * scale;
      const span = 0.85 * scale;
      const flap = Math.sin(bird.beat * time + bird.phase);
      const thick = Math.max(0.45, 0.07 * scale);
      stroke(px - 0.3 * scale, py + 0.04 * scale, px + 0.34 * scale, py, thick * 1.3);
      for (const side of [-1, 1]) {
        const elbowX = px + side * span * 0.38;
        const elbowY = py - (0.16 + 0.3 * flap) * span;
        stroke(px, py, elbowX, elbowY, thick);
        stroke(
          elbowX,
          elbowY,
          px + side * span * (0.85 - 0.1 * Math.abs(flap)) - 0.12 * span,
          elbowY + (0.12 - 0.42 * flap) * span,
          thick * 0.7,
        );
      }
    }
  }

  return {
    /** Frame at `time` seconds: RGB, `width` x `height`, rows from the top. */
    render(time) {
      const cam = camera(time);
      trace(mirrored, cam, true);
      shade(mirrored, cam, true, time);
      drawCards(mirrored, cam, true, time);
      trace(main, cam, false);
      shade(main, cam, false, time);
      drawWater(cam, time);
      drawCards(main, cam, false, time);
      drawBirds(cam, time);
      return resampler(main.light, toneTable, ditherTable, Math.round(time * 1000));
    },
  };
}

/** Scene light to display values 0..255 in 4,096 steps of the square root: a filmic curve (Narkowicz 2015), sRGB. */
function tone() {
  const table = new Float32Array(4097);
  for (let i = 0; i <= 4096; i++) {
    const x = 0.82 * (i / 1024) ** 2;
    const film = Math.min(1, (x * (2.51 * x + 0.03)) / (x * (2.43 * x + 0.59) + 0.14));
    table[i] = 255 * (film <= 0.0031308 ? 12.92 * film : 1.055 * film ** (1 / 2.4) - 0.055);
  }
  return table;
}

/** Column-major light of w x h to row-major RGB bytes, through the tone curve and a cubic filter (a = -0.5). */
function resample(w, h, width, height) {
  const taps = (from, to) => {
    const scale = from / to;
    const reach = 2 * Math.max(1, scale);
    return Array.from({ length: to }, (_, i) => {
      const centre = (i + 0.5) * scale;
      const first = Math.max(0, Math.ceil(centre - reach - 0.5));
      const last = Math.min(from - 1, Math.floor(centre + reach - 0.5));
      const weights = [];
      for (let n = first; n <= last; n++) {
        const t = Math.abs(n + 0.5 - centre) / Math.max(1, scale);
        weights.push(t < 1 ? (1.5 * t - 2.5) * t * t + 1 : t < 2 ? ((-0.5 * t + 2.5) * t - 4) * t + 2 : 0);
      }
      const sum = weights.reduce((a, b) => a + b, 0);
      return { first, weights: Float64Array.from(weights, (x) => x / sum) };
    });
  };
  const down = taps(h, height);
  const across = taps(w, width);
  const columns = new Float32Array(w * height * 3);
  const toned = new Float32Array(h * 3);
  return (light, table, dither, frame) => {
    for (let x = 0; x < w; x++) {
      const u = (x / w - 0.5) * 1.02;
      for (let y = 0; y < h; y++) {
        const v = (y / h - 0.5) * 0.8;
        const vignette = 1 - 0.42 * (u * u + v * v);
        const k = (x * h + y) * 3;
        for (let c = 0; c < 3; c++) {
          const i = Math.sqrt(light[k + c] * vignette) * 1024;
          toned[y * 3 + c] = table[i > 4096 ? 4096 : i | 0];
        }
      }
      for (let y = 0; y < height; y++) {
        const { first, weights } = down[y];
        let r = 0;
        let g = 0;
        let b = 0;
        for (let n = 0, k = first * 3; n < weights.length; n++, k += 3) {
          const weight = weights[n];
          r += toned[k] * weight;
          g += toned[k + 1] * weight;
          b += toned[k + 2] * weight;
        }
        const o = (y * w + x) * 3;
        columns[o] = r;
        columns[o + 1] = g;
        columns[o + 2] = b;
      }
    }
    const out = new Uint8Array(width * height * 3);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const { first, weights } = across[x];
        let r = 0;
        let g = 0;
        let b = 0;
        for (let n = 0, k = (y * w + first) * 3; n < weights.length; n++, k += 3) {
          const weight = weights[n];
          r += columns[k] * weight;
          g += columns[k + 1] * weight;
          b += columns[k + 2] * weight;
        }
        const o = (y * width + x) * 3;
        const noise = dither[(y * 641 + x * 13 + frame * 7919) & 65_535] + 0.5;
        out[o] = Math.max(0, Math.min(255, r + noise));
        out[o + 1] = Math.max(0, Math.min(255, g + noise));
        out[o + 2] = Math.max(0, Math.min(255, b + noise));
      }
    }
    return out;
  };
}
