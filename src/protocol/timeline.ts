/**
 * What the timeline and its host say to each other. The host sends whole snapshots, never deltas, so a view
 * that was hidden, moved or reloaded is right again after one message. `R` is the assessment record: this room
 * imports nothing of ours, the two ends agree on the type where they connect.
 */
import type { SerializedError } from './errors.ts';

/** Raised whenever a message of this file changes its meaning. */
export const timelineProtocol = 2;

/** Seconds of presentation time, 0-based; `end` is exclusive. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Part of the picture, in fractions of the displayed frame. */
export interface Region {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** What the user looks at: a span, one type of distortion, both, or (both null) the clip. */
export interface Focus {
  readonly span: Span | null;
  readonly type: string | null;
}

/** One job as the timeline shows it. */
export interface JobState {
  readonly phase: 'queued' | 'starting' | 'running' | 'cancelling';
  /** 0..1 of the whole job, null while nothing can be said. */
  readonly progress: number | null;
  /** Remaining time, s, null while nothing can be said. */
  readonly eta: number | null;
  /** Decoded frames per second of wall time, null before the first window. */
  readonly framesPerSecond: number | null;
  /** Spans whose results are in the snapshot's record, in order, not overlapping. */
  readonly finished: readonly Span[];
  /** The span that is being worked on. */
  readonly current: Span | null;
  /** A second model looks at windows of a record that is there already. */
  readonly refining?: boolean;
}

/** Where the picture comes from. */
export interface MediaSource {
  /** Something `<video>` may be able to play. The view falls back to stills where it can not. */
  readonly url: string | null;
  /** What to add to a presentation time to get `<video>.currentTime`, s. */
  readonly offset: number;
  /** Whether {@link TimelineHost} answers `still` and `filmstrip`. */
  readonly stills: boolean;
  /** Changes when the file was replaced: cached pictures are dropped. */
  readonly revision: string;
}

export type ExportFormat = 'json' | 'csv' | 'html';

/** What the host can do now; everything else is not offered. */
export type TimelineAction = 'assess' | 'ask' | 'cancel' | 'export' | OpenTarget;

/** `reveal`: in the Explorer; `external`: in the system's player; `record`: the record's JSON in an editor. */
export type OpenTarget = 'reveal' | 'external' | 'record';

export interface TimelineSnapshot<R> {
  /** The file's name and displayed path. Untrusted text. */
  readonly clip: { readonly name: string; readonly path: string };
  /** Complete, partial, or what is finished of a running job; null: never assessed. */
  readonly record: R | null;
  readonly job: JobState | null;
  readonly media: MediaSource;
  /** MOS below which the clip misses its target, null: none set. */
  readonly threshold: number | null;
  /** Why there is no record, or why the last job ended early. */
  readonly error: SerializedError | null;
  readonly actions: readonly TimelineAction[];
}

/** A decoded frame as an encoded picture. */
export interface Still {
  /** Presentation time of the frame that was decoded, s. */
  readonly time: number;
  readonly mime: 'image/jpeg' | 'image/png' | 'image/webp';
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** What the host offers to the view. */
export interface TimelineHost {
  readonly requests: {
    /** The frame shown at `time`, s, scaled to `width` pixels (never enlarged). */
    still(params: { readonly time: number; readonly width: number }): Still;
    /** One small picture per time, `height` pixels high; null where nothing can be decoded. */
    filmstrip(params: {
      readonly times: readonly number[];
      readonly height: number;
    }): readonly (Still | null)[];
    /** Starts, or starts again, the assessment of the clip. */
    assess(params: Record<never, never>): void;
    /** Ends the job; finished windows are kept. */
    cancel(params: Record<never, never>): void;
    /** Asks where to and writes the report; null when the user chose nowhere. `span`: only that part. */
    export(params: { readonly format: ExportFormat; readonly span: Span | null }): {
      readonly path: string;
    } | null;
    open(params: { readonly target: OpenTarget; readonly time: number }): void;
    /** Opens the conversation about the clip, to ask about this. */
    ask(params: Focus): void;
  };
  readonly notifications: {
    /** The user selected another part, or none: what he may ask about next. */
    readonly focus: Focus;
    /** The user looks here: windows from this time on come first. */
    readonly prioritise: { readonly time: number };
  };
}

/** What the view is asked to show. */
export interface Reveal {
  /** The moment, s. */
  readonly time: number;
  /** Make it visible as a whole and, where nothing is pointed at, select it. */
  readonly span: Span | null;
  /** Point at this in the picture: the distortion of the record that it is, otherwise a box of its own. */
  readonly mark: { readonly region: Region | null; readonly type: string | null } | null;
}

/** What the view offers to the host. */
export interface TimelineView<R> {
  readonly requests: Record<never, never>;
  readonly notifications: {
    readonly snapshot: TimelineSnapshot<R>;
    readonly reveal: Reveal;
  };
}

export interface TimelinePage {
  /** Addresses of dist/webview/timeline.js and timeline.css, as the page may load them. */
  readonly script: string;
  readonly style: string;
  /** Origins that stylesheets come from: `webview.cspSource` in VS Code. */
  readonly source: string;
  /** Origins that the clip is played from, where they differ from `source`. */
  readonly media: readonly string[];
  /** Fresh random text for every page. */
  readonly nonce: string;
  /** BCP 47 language of the host's interface. */
  readonly language: string;
}

const attribute = (text: string) => text.replace(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`);

/** The document of the view: no inline style or script, nothing loaded but what is named here. */
export function timelinePage({ script, style, source, media, nonce, language }: TimelinePage): string {
  const policy = [
    `default-src 'none'`,
    `script-src 'nonce-${nonce}'`,
    `style-src ${source}`,
    `font-src ${source}`,
    `media-src ${[source, ...media].join(' ')}`,
    `base-uri 'none'`,
    `form-action 'none'`,
  ].join('; ');
  return `<!DOCTYPE html>
<html lang="${attribute(language)}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${attribute(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>OmniVQA timeline</title>
<link rel="stylesheet" href="${attribute(style)}">
</head>
<body>
<div id="timeline"></div>
<script nonce="${attribute(nonce)}" src="${attribute(script)}"></script>
</body>
</html>
`;
}
