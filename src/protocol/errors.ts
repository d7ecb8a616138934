/**
 * Every failure a user can meet, by code. A code is part of the machine-readable output (`assess --format json`)
 * and never changes its meaning; its wording may.
 */
export type ErrorCode =
  // the call
  | 'bad_usage'
  | 'cancelled'
  | 'internal_error'
  // the connection to another process or a webview
  | 'disconnected'
  | 'protocol_mismatch'
  | 'engine_crashed'
  // the file
  | 'file_not_found'
  | 'file_unreadable'
  | 'file_empty'
  | 'file_replaced'
  | 'not_a_video'
  | 'lfs_pointer'
  | 'playlist_refused'
  | 'format_refused'
  | 'no_video_stream'
  | 'cover_art_only'
  | 'nothing_decoded'
  | 'frame_too_large'
  // the environment
  | 'ffmpeg_missing'
  | 'ffmpeg_too_old'
  | 'ffmpeg_failed'
  | 'ffmpeg_hung'
  | 'disk_full'
  | 'not_writable'
  // the hub that models come from
  | 'hub_unreachable'
  | 'hub_not_found'
  | 'hub_access_denied'
  | 'hub_answer_refused'
  | 'download_checksum'
  // the model
  | 'model_not_found'
  | 'checkpoint_config'
  | 'checkpoint_architecture'
  | 'checkpoint_tensors'
  | 'checkpoint_corrupt'
  | 'tokenizer_invalid'
  | 'compiled_invalid'
  | 'provider_unavailable'
  | 'runtime_failed'
  | 'device_lost'
  | 'out_of_memory'
  | 'context_too_long';

/** What led to an {@link OmniError}, where there is more to show than its message. */
export interface ErrorDetail {
  /** The file or directory the error is about. Untrusted text. */
  readonly path?: string;
  /** The command that was run, as an argv joined for display only. */
  readonly command?: string;
  /** The last lines the command wrote to stderr. Untrusted text. */
  readonly stderr?: string;
  /** One line per finding, where an error has several (missing tensors, say). */
  readonly findings?: readonly string[];
}

/** An error as it crosses a process boundary or is printed in JSON. */
export interface SerializedError extends ErrorDetail {
  readonly code: ErrorCode;
  readonly message: string;
  readonly next: string;
}

/** A failure with a stable code, the cause in plain words and the next step for the person who reads it. */
export class OmniError extends Error {
  override readonly name = 'OmniError';
  readonly code: ErrorCode;
  /** What to do about it, as an instruction: "Install ffmpeg 4.4 or newer and try again." */
  readonly next: string;
  readonly detail: ErrorDetail;

  constructor(
    code: ErrorCode,
    message: string,
    next: string,
    detail: ErrorDetail = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.next = next;
    this.detail = detail;
  }

  static is(value: unknown, code?: ErrorCode): value is OmniError {
    return value instanceof OmniError && (code === undefined || value.code === code);
  }

  /** Plain data for JSON output and process messages. */
  serialize(): SerializedError {
    return { code: this.code, message: this.message, next: this.next, ...this.detail };
  }
}

/** A finding that did not stop the work: part of a record or of a `(value, problems[])` pair. */
export interface Problem {
  /** Stable, snake_case: `truncated`, `vfr`, `hdr_tonemapped`, … */
  readonly code: string;
  readonly message: string;
  /** Seconds of presentation time, where the problem has a place in time. */
  readonly start?: number;
  readonly end?: number;
}
