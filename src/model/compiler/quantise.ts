/**
 * Block-wise weight quantisation as com.microsoft's MatMulNBits reads it: every 32 consecutive weights of a row
 * share one float32 scale, stored symmetrically around a zero point of 8 (4 bits, two to a byte, low nibble first)
 * or 128 (8 bits). Rows whose width is not a whole number of blocks are padded with zeros.
 */

/** Weights that share a scale. */
export const blockSize = 32;

const block = blockSize;

/** Bytes of one packed row. */
export function quantisedRowBytes(width: number, bits: 4 | 8): number {
  return (Math.ceil(width / block) * block * bits) / 8;
}

/**
 * Rounds rows to nearest.
 *
 * The scale of a 4-bit block is its weight of largest magnitude over -8, so that this weight is met exactly and the
 * whole range -8…7 is used (as in llama.cpp's Q4_0); at 8 bits it is the largest magnitude over 127.
 *
 * @param rows [count, width].
 * @param packed Receives count · {@link quantisedRowBytes} bytes.
 * @param scales Receives count · ceil(width / 32) values.
 */
export function quantiseRows(
  rows: Float32Array,
  count: number,
  width: number,
  bits: 4 | 8,
  packed: Uint8Array,
  scales: Float32Array,
): void {
  const blocks = Math.ceil(width / block);
  let at = 0;
  for (let row = 0; row < count; row += 1) {
    const base = row * width;
    for (let b = 0; b < blocks; b += 1) {
      const start = base + b * block;
      const end = Math.min(start + block, base + width);
      let extreme = 0;
      for (let i = start; i < end; i += 1) {
        const value = rows[i]!;
        if (Math.abs(value) > Math.abs(extreme)) extreme = value;
      }
      const scale = bits === 4 ? extreme / -8 : Math.abs(extreme) / 127;
      scales[row * blocks + b] = scale;
      const inverse = scale === 0 ? 0 : 1 / scale;
      if (bits === 8) {
        // Adding 128.5 before the truncation rounds to nearest: all values are positive by then.
        for (let i = start; i < end; i += 1) packed[at++] = (rows[i]! * inverse + 128.5) | 0;
        for (let i = end; i < start + block; i += 1) packed[at++] = 128;
        continue;
      }
      for (let i = start; i < start + block; i += 2) {
        let low = i < end ? (rows[i]! * inverse + 8.5) | 0 : 8;
        let high = i + 1 < end ? (rows[i + 1]! * inverse + 8.5) | 0 : 8;
        if (low > 15) low = 15;
        if (high > 15) high = 15;
        packed[at++] = low | (high << 4);
      }
    }
  }
}
