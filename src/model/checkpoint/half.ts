/** IEEE 754 half precision (binary16), which JavaScript has no typed array for: its bits as 16-bit integers. */

let table: Float32Array | undefined;

/** All 65,536 halves as floats: a look-up is several times faster than computing each. */
export function halves(): Float32Array {
  if (table) return table;
  table = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits += 1) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 0) table[bits] = sign * fraction * 2 ** -24;
    else if (exponent === 31) table[bits] = fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
    else table[bits] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  return table;
}

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

/**
 * Rounds finite floats to halves, to nearest, ties to even.
 *
 * @param into Receives the bits; as long as `floats`.
 * @returns Index of the first value that is too large for a half (65,520 and more), or -1.
 */
export function toHalves(floats: Float32Array, into: Uint16Array): number {
  const source = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  let tooLarge = -1;
  for (let i = 0; i < source.length; i += 1) {
    const bits = source[i]!;
    const sign = (bits >>> 16) & 0x8000;
    const magnitude = bits & 0x7fffffff;
    if (magnitude < 0x38800000) {
      // Below 2^-14 halves are multiples of 2^-24: the spacing of floats just above 0.5, so the sum rounds for us.
      scratch[0] = Math.abs(floats[i]!) + 0.5;
      into[i] = sign | (scratchBits[0]! - 0x3f000000);
    } else {
      const rounded = (magnitude - 0x38000000 + 0x0fff + ((magnitude >>> 13) & 1)) >>> 13;
      if (rounded >= 0x7c00 && tooLarge < 0) tooLarge = i;
      into[i] = sign | Math.min(rounded, 0x7c00);
    }
  }
  return tooLarge;
}
