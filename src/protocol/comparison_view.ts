/**
 * What the view of a comparison and its host say to each other. The host sends whole snapshots, never deltas, so a
 * view that was hidden, moved or reloaded is right again after one message.
 */
import type { SerializedError } from './errors.ts';
import type { Still } from './timeline.ts';

/** Raised whenever a message of this file changes its meaning. */
export const comparisonViewProtocol = 4;

/** A part of the source with the quality that an encode has there. Seconds of presentation time. */
export interface ComparedWindow {
  readonly start: number;
  readonly end: number;
  readonly mos: number;
}

/** One encode of the source. What was not measured (yet) is null. All texts are untrusted. */
export interface ComparedEncode {
  /** Unique within the comparison and the same while it is updated. */
  readonly id: string;
  readonly label: string;
  /** Encodes of the same codec are one curve. */
  readonly codec: string;
  readonly state: 'waiting' | 'encoding' | 'assessing' | 'done' | 'failed' | 'cancelled';
  /** 0..1 of what runs, and seconds left; null where nothing can be said. */
  readonly progress: number | null;
  readonly eta: number | null;
  readonly bytes: number | null;
  /** Bits per second. */
  readonly bitrate: number | null;
  /** Seconds of the clip encoded per second. */
  readonly speed: number | null;
  readonly mos: number | null;
  readonly vmaf: number | null;
  readonly ssim: number | null;
  /** dB. */
  readonly psnr: number | null;
  /** In order, not overlapping. */
  readonly windows: readonly ComparedWindow[];
  /** Milliseconds since 1970. */
  readonly madeAt: number | null;
  /** Whether it is frame for frame its source; else it is in no curve and no difference. */
  readonly aligned: boolean;
  /** What the numbers do not tell: settings that were not carried over, pictures that are not aligned. */
  readonly problems: readonly string[];
}

export interface ComparisonSnapshot {
  /** The source's file name. Untrusted text. */
  readonly source: string;
  /** What holds for all figures, such as what part of the source was encoded; null: nothing. */
  readonly note: string | null;
  readonly encodes: readonly ComparedEncode[];
  /** The host's clock when it was sent, for ages. Milliseconds since 1970. */
  readonly now: number;
  /** Why there is nothing more to come. */
  readonly error: SerializedError | null;
}

/** Where the frames of the source are. */
export interface SourceFrames {
  /** In order, s since the first frame. */
  readonly times: readonly number[];
  readonly width: number;
  readonly height: number;
}

export const comparisonFormats = ['html', 'svg', 'csv', 'json'] as const;
export type ComparisonFormat = (typeof comparisonFormats)[number];

/** What the host offers to the view. */
export interface ComparisonHost {
  readonly requests: {
    /** Ends what runs; finished encodes are kept. */
    cancel(params: Record<never, never>): void;
    /** Asks where to, and writes what was measured there; the drawing of a measure as it is shown. */
    export(params: {
      readonly format: ComparisonFormat;
      readonly metric: 'mos' | 'vmaf' | 'ssim' | 'psnr';
      readonly logarithmic: boolean;
    }): void;
    /** Shows an encode's timeline at a moment, s. */
    open(params: { readonly encode: string; readonly time: number }): void;
    /** The frames of the source, s since the first, and the size of its pictures, px. */
    frames(params: Record<never, never>): SourceFrames;
    /**
     * Every pixel of an encode, or of the source (null), at the times of the source's frames: of the first, and of those
     * of the others that come along in the same decode. A picture's own time, on the source's clock, is another where
     * the encode has no frame there.
     */
    pictures(params: {
      readonly encode: string | null;
      readonly times: readonly [number, ...number[]];
    }): readonly (Still | null)[];
  };
  readonly notifications: Record<never, never>;
}

/** What the view offers to the host. */
export interface ComparisonView {
  readonly requests: Record<never, never>;
  readonly notifications: { readonly snapshot: ComparisonSnapshot };
}

export interface ComparisonPage {
  /** Addresses of dist/webview/comparison.js and comparison.css, as the page may load them. */
  readonly script: string;
  readonly style: string;
  /** Origins that stylesheets come from: `webview.cspSource` in VS Code. */
  readonly source: string;
  /** Fresh random text for every page. */
  readonly nonce: string;
  /** BCP 47 language of the host's interface. */
  readonly language: string;
}

const attribute = (text: string) => text.replace(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`);

/** The document of the view: no inline style or script, nothing loaded but what is named here. */
export function comparisonPage({ script, style, source, nonce, language }: ComparisonPage): string {
  const policy = [
    `default-src 'none'`,
    `script-src 'nonce-${nonce}'`,
    `style-src ${source}`,
    `font-src ${source}`,
    `base-uri 'none'`,
    `form-action 'none'`,
  ].join('; ');
  return `<!DOCTYPE html>
<html lang="${attribute(language)}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${attribute(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>OmniVQA comparison</title>
<link rel="stylesheet" href="${attribute(style)}">
</head>
<body>
<div id="comparison"></div>
<script nonce="${attribute(nonce)}" src="${attribute(script)}"></script>
</body>
</html>
`;
}
