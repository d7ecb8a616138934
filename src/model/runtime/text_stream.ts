/**
 * Turns token ids into text as they arrive. A token may end in the middle of a character (byte-level BPE), so
 * text is held back until its last character is whole. Ids are decoded together with the ones before them,
 * because some decoders treat the first token of a text differently.
 */
export class TextStream {
  readonly #decode: (ids: number[]) => string;
  /** Ids whose text has been handed out, kept as left context, followed by those that wait. */
  #ids: number[] = [];
  #emitted = 0;

  constructor(decode: (ids: number[]) => string) {
    this.#decode = decode;
  }

  /** The text that this id completes; empty while a character is incomplete. */
  push(id: number): string {
    this.#ids.push(id);
    const text = this.#decode(this.#ids);
    if (text.endsWith('\uFFFD')) return '';
    return this.#emit(text);
  }

  /** What was held back: bytes that never became a character are shown as U+FFFD. */
  end(): string {
    return this.#ids.length === 0 ? '' : this.#emit(this.#decode(this.#ids));
  }

  #emit(text: string): string {
    const fresh = text.slice(this.#emitted);
    // One id of context is enough for a decoder to know that this is not the start of the text.
    this.#ids = this.#ids.slice(-1);
    this.#emitted = this.#decode(this.#ids).length;
    return fresh;
  }
}
