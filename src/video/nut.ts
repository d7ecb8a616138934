/**
 * A streaming reader of the NUT container, the part of it that ffmpeg's muxer writes for raw video
 * (https://ffmpeg.org/nut.html, "NUT Open Container Format", version 3 and 4). It carries several raw streams through
 * one pipe with a few bytes per frame. Time stamps are skipped: the frames of a stream come in order and none is lost.
 */
import { OmniError } from '../protocol/errors.ts';

const fileId = 'nut/multimedia container\0';
const startcodeByte = 0x4e;
const mainStartcode = 0x4e4d7a561f5f04adn;

const flagCodedPts = 8;
const flagStreamId = 16;
const flagSizeMsb = 32;
const flagChecksum = 64;
const flagReserved = 128;
const flagSideData = 256;
const flagHeaderIndex = 1024;
const flagMatchTime = 2048;
const flagCoded = 4096;
const flagInvalid = 8192;

interface FrameCode {
  readonly flags: number;
  readonly stream: number;
  readonly sizeMul: number;
  readonly sizeLsb: number;
  readonly reserved: number;
  readonly headerIndex: number;
}

/** Thrown inside the reader when a header continues in a chunk that has not come yet. */
const needMore = Symbol('need more bytes');

export interface NutSink {
  /** Where the `size` bytes of the next frame of `stream` go; the array has that length. */
  target(stream: number, size: number): Uint8Array;
  /** The array handed out for `stream` is filled. */
  filled(stream: number): void;
}

export class NutReader {
  readonly #sink: NutSink;
  /** Bytes of a header that is not complete yet. */
  #pending: Buffer = Buffer.alloc(0);
  #position = 0;
  #started = false;
  #codes: FrameCode[] = [];
  #elided: Buffer[] = [];
  #frame: { readonly stream: number; readonly bytes: Uint8Array; filled: number } | null = null;

  constructor(sink: NutSink) {
    this.#sink = sink;
  }

  /** Takes the next bytes of the stream. @throws OmniError `ffmpeg_failed` where they are not NUT */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      const frame = this.#frame;
      if (frame) {
        const length = Math.min(frame.bytes.length - frame.filled, chunk.length - at);
        frame.bytes.set(chunk.subarray(at, at + length), frame.filled);
        frame.filled += length;
        at += length;
        if (frame.filled === frame.bytes.length) {
          this.#frame = null;
          this.#sink.filled(frame.stream);
        }
        continue;
      }
      const fresh = chunk.subarray(at);
      const bytes = this.#pending.length > 0 ? Buffer.concat([this.#pending, fresh]) : fresh;
      this.#position = 0;
      try {
        this.#header(bytes);
      } catch (reason) {
        if (reason !== needMore) throw reason;
        this.#pending = Buffer.from(bytes);
        return;
      }
      // A header that could not be read from the pending bytes alone ends after them.
      at += this.#position - this.#pending.length;
      this.#pending = Buffer.alloc(0);
    }
  }

  /** Whether the stream stopped between two frames. */
  get complete(): boolean {
    return this.#frame === null && this.#pending.length === 0;
  }

  #header(bytes: Buffer): void {
    if (!this.#started) {
      if (bytes.length < fileId.length) throw needMore;
      if (bytes.toString('latin1', 0, fileId.length) !== fileId) throw malformed('no NUT file id');
      this.#position = fileId.length;
      this.#started = true;
      return;
    }
    const first = this.#byte(bytes);
    if (first === startcodeByte) {
      if (bytes.length < 8) throw needMore;
      const startcode = bytes.readBigUInt64BE(0);
      this.#position = 8;
      const length = this.#varint(bytes);
      if (length > 4096) this.#position += 4;
      const end = this.#position + length;
      if (end > bytes.length) throw needMore;
      if (startcode === mainStartcode) this.#mainHeader(bytes);
      // Stream headers, info, sync points and the index hold nothing the frames need.
      this.#position = end;
      return;
    }
    const code = this.#codes[first];
    let flags = code?.flags ?? flagInvalid;
    if (flags & flagCoded) flags ^= this.#varint(bytes);
    if (!code || flags & flagInvalid) throw malformed(`frame code ${first} is invalid`);
    const stream = flags & flagStreamId ? this.#varint(bytes) : code.stream;
    if (flags & flagCodedPts) this.#varint(bytes);
    let size = code.sizeLsb;
    if (flags & flagSizeMsb) size += code.sizeMul * this.#varint(bytes);
    if (flags & flagMatchTime) this.#varint(bytes);
    let headerIndex = flags & flagHeaderIndex ? this.#varint(bytes) : code.headerIndex;
    let reserved = flags & flagReserved ? this.#varint(bytes) : code.reserved;
    while (reserved-- > 0) this.#varint(bytes);
    if (flags & flagChecksum) {
      this.#position += 4;
      if (this.#position > bytes.length) throw needMore;
    }
    if (flags & flagSideData) throw malformed('a frame carries side data');
    if (size > 4096) headerIndex = 0;
    const elided = this.#elided[headerIndex] ?? Buffer.alloc(0);
    const target = this.#sink.target(stream, size);
    target.set(elided);
    this.#frame = { stream, bytes: target, filled: elided.length };
  }

  /** The table of frame codes and the elision headers. */
  #mainHeader(bytes: Buffer): void {
    const version = this.#varint(bytes);
    if (version > 3) this.#varint(bytes);
    this.#varint(bytes);
    this.#varint(bytes);
    for (let count = this.#varint(bytes) * 2; count > 0; count--) this.#varint(bytes);
    const codes: FrameCode[] = [];
    let sizeMul = 1;
    let stream = 0;
    let headerIndex = 0;
    for (let i = 0; i < 256; ) {
      const flags = this.#varint(bytes);
      const fields = this.#varint(bytes);
      if (fields > 0) this.#varint(bytes);
      if (fields > 1) sizeMul = this.#varint(bytes);
      if (fields > 2) stream = this.#varint(bytes);
      const sizeLsb = fields > 3 ? this.#varint(bytes) : 0;
      const reserved = fields > 4 ? this.#varint(bytes) : 0;
      let count = fields > 5 ? this.#varint(bytes) : sizeMul - sizeLsb;
      if (fields > 6) this.#varint(bytes);
      if (fields > 7) headerIndex = this.#varint(bytes);
      for (let field = 8; field < fields; field++) this.#varint(bytes);
      if (count <= 0) throw malformed('an empty run of frame codes');
      for (let j = 0; count > 0 && i < 256; i++) {
        if (i === startcodeByte) {
          codes.push({ flags: flagInvalid, stream, sizeMul, sizeLsb: 0, reserved: 0, headerIndex: 0 });
          continue;
        }
        codes.push({ flags, stream, sizeMul, sizeLsb: sizeLsb + j, reserved, headerIndex });
        j++;
        count--;
      }
    }
    const elided = [Buffer.alloc(0)];
    for (let count = this.#varint(bytes); count > 0; count--) {
      const length = this.#varint(bytes);
      elided.push(Buffer.from(bytes.subarray(this.#position, this.#position + length)));
      this.#position += length;
    }
    this.#codes = codes;
    this.#elided = elided;
  }

  #byte(bytes: Buffer): number {
    const value = bytes[this.#position++];
    if (value === undefined) throw needMore;
    return value;
  }

  #varint(bytes: Buffer): number {
    let value = 0;
    for (let i = 0; i < 10; i++) {
      const byte = this.#byte(bytes);
      value = value * 128 + (byte & 127);
      if (byte < 128) return value;
    }
    throw malformed('a number is too long');
  }
}

function malformed(what: string): OmniError {
  return new OmniError(
    'ffmpeg_failed',
    `The stream of raw frames that ffmpeg wrote can't be read: ${what}.`,
    'Install a release build of ffmpeg and try again.',
  );
}
