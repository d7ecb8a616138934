/**
 * What the engine process and its client say to each other. `R` is the assessment record: this room imports
 * nothing of ours, the two ends agree on the type where they connect.
 *
 * One client owns one engine. Jobs outlive neither the client's interest (cancel) nor the engine, but what a job has
 * finished is in the clip's journal: asked again, it goes on from there.
 */
import type { ChatRequests, ChatText } from './chat.ts';
import type { SerializedError } from './errors.ts';
import type { ExportFormat, JobState, Span, Still } from './timeline.ts';

/** Raised whenever a message of this file changes its meaning. */
export const engineProtocol = 1;

/** Which model, on what. `auto` lets the engine decide. */
export interface ModelChoice {
  /** `nano`, or the path of a checkpoint or compiled directory. */
  readonly model: string;
  readonly provider: 'auto' | 'cpu' | 'webgpu' | 'cuda' | 'dml' | 'coreml';
}

/** What a model may still use of the device that it was to run on, after it failed there. */
export interface DeviceLimit extends ModelChoice {
  /** `smaller`: the same device with less at a time; `cpu`: another one. */
  readonly step: 'smaller' | 'cpu';
  /** What had happened, for the record. */
  readonly code: string;
  readonly message: string;
}

/** Where a model runs; what its client has to know when the process ends without a word. */
export interface DeviceReport extends ModelChoice {
  /** null while it is being loaded. */
  readonly on: Exclude<ModelChoice['provider'], 'auto'> | null;
  /** Why the process is about to end: it never uses a device again that failed. */
  readonly failure: { readonly code: string; readonly message: string } | null;
}

/** Where a clip's result may be kept beside the engine's own store. */
export interface ResultPlace {
  /** The workspace's `.omnivqa` folder, where the team keeps results in it; null: only the engine's store. */
  readonly teamFolder: string | null;
}

/** A second model that looks at the windows of an assessed clip that matter most. */
export interface RefineChoice {
  /** The path of a checkpoint or compiled directory. */
  readonly model: string;
  /** Most windows that it looks at. */
  readonly windows: number;
}

export interface AssessRequest extends ModelChoice, ResultPlace {
  readonly path: string;
  /** Higher runs first; the running job is not interrupted by an equal one. */
  readonly priority: number;
  /** Assess again although there is a result. */
  readonly fresh: boolean;
  /** Rate it as closely as the model can tell encodes apart; its result is kept beside that of the clip itself. */
  readonly closely?: boolean;
  /** Does not assess the clip, but has its result, which must be there, refined by a second model. */
  readonly refine?: RefineChoice | null;
}

/** What a client follows of one job. A terminal state is sent once, as the job's last update. */
export interface JobUpdate<R> {
  readonly job: string;
  readonly path: string;
  /** null where the job is over. */
  readonly state: JobState | null;
  /** What is finished so far, or the whole record at the end; null before the first window. */
  readonly record: R | null;
  /** Set where the job ended without a complete record for another reason than its cancellation. */
  readonly error: SerializedError | null;
  /** `kept`: an earlier result was found; `resumed`: a journal was continued. */
  readonly outcome: 'complete' | 'partial' | 'cancelled' | 'failed' | null;
  readonly kept: boolean;
  readonly resumed: boolean;
}

/** One encode of a clip that the engine keeps. */
export interface EncodeFacts {
  /** Matroska with the picture alone: assessed as any clip is. */
  readonly file: string;
  /** Names the source's content, the settings and the encoder's version: an encode of anything else has another. */
  readonly key: string;
  /** Canonical options: what decides the picture, whatever way it was written. */
  readonly arguments: readonly string[];
  /** ffmpeg's version. */
  readonly encoder: string;
  readonly bytes: number;
  /** Wall time, s, and seconds of the clip encoded per second; others may have run beside it, within the cores. */
  readonly seconds: number;
  readonly speed: number | null;
  /** What of the settings was not carried over. */
  readonly problems: readonly string[];
  /** Why it is not frame for frame its source, by name and in words; null where it is. */
  readonly alignment: { readonly code: string; readonly message: string } | null;
  /** Against its source, each null where this ffmpeg has no such filter; null as a whole where the two are not aligned. */
  readonly metrics: {
    /** 0 to 100. */
    readonly vmaf: number | null;
    /** Of luma, 0 to 1. */
    readonly ssim: number | null;
    /** Of luma, dB; 100 where the pictures are equal. */
    readonly psnr: number | null;
  } | null;
  /** Milliseconds since 1970. */
  readonly madeAt: number;
}

/** Parts of a clip, joined without loss. */
export interface Cut {
  /** Matroska of FFV1 with the picture alone; kept for a day after it was last asked for. */
  readonly file: string;
  /** On the clip's clock, s from its first frame, at the accuracy of frames. */
  readonly parts: readonly Span[];
}

/** Where an encode that was asked for stands. */
export interface EncodeState {
  /** `measuring`: it is made, and held against its source. */
  readonly phase: 'waiting' | 'encoding' | 'measuring';
  /** 0..1 of the encoding, and seconds left; null where nothing can be said. */
  readonly progress: number | null;
  readonly eta: number | null;
}

/** What is known of the machine, for the model page and for bug reports. */
export interface EngineFacts {
  readonly node: string;
  readonly pid: number;
  /** Version line of the ffmpeg that is used, or why there is none. */
  readonly ffmpeg: { readonly path: string; readonly version: string } | SerializedError;
  /** Models that are loaded now. */
  readonly loaded: readonly { readonly id: string; readonly provider: string; readonly reason: string }[];
}

/** A model, for the list of models. */
export interface ModelFacts {
  /** What a setting names it by: `nano`, the id of a pulled model, or a directory. */
  readonly name: string;
  /** Where it lies; null where it can not be found. */
  readonly directory: string | null;
  /** What to call it. Untrusted text, as its family is. */
  readonly label: string;
  /** Empty where it can not be read. */
  readonly family: string;
  /** null for a checkpoint that is not compiled yet. */
  readonly precision: string | null;
  /** Whether it answers freely, and whether it says what is wrong where; every model rates. */
  readonly chats: boolean;
  readonly finds: boolean;
  readonly bytes: number;
  /** Where it runs and why there, while it is loaded. */
  readonly loaded: {
    readonly provider: string;
    readonly reason: string;
    readonly precision: string;
    /** That loading took, without compiling. */
    readonly seconds: number;
  } | null;
  /** What `omnivqa model bench` measured of it on this machine at last; null: nothing yet. */
  readonly measured: {
    readonly provider: string;
    /** Milliseconds since 1970. */
    readonly measuredAt: number;
    readonly loadSeconds: number;
    /** Rating a clip of 10 s, without decoding it, s. */
    readonly secondsPer10sClip: number;
    readonly prefillTokensPerSecond: number;
    readonly decodeTokensPerSecond: number;
    readonly peakMemoryBytes: number;
    /** What the device makes of the model's matrices alone. */
    readonly limits: { readonly prefillTokensPerSecond: number; readonly decodeTokensPerSecond: number };
  } | null;
  /** Why it can not be used; null where nothing is known against it. */
  readonly problem: string | null;
}

/** A model on a hub, as a person names it. */
export interface HubChoice {
  /** `owner/name`, or `owner/name@revision`. */
  readonly name: string;
  /** The hub or a mirror of it; null: the public one. */
  readonly endpoint: string | null;
  /** Access token; null: none. */
  readonly token: string | null;
  /** Proxy of the network that the editor names, and the hosts that need none; null: as the environment says. */
  readonly proxy: { readonly address: string; readonly none: readonly string[] } | null;
}

/** What pulling a model would mean. Texts are the publisher's: untrusted. */
export interface HubOffer {
  readonly commit: string;
  /** null where its card names none. */
  readonly licence: string | null;
  readonly gated: boolean;
  /** By its name; null where only its config will tell. */
  readonly family: string | null;
  readonly bytes: number;
  /** Bytes that are free where it goes; null where the system does not say. */
  readonly free: number | null;
  /** Where it goes. */
  readonly directory: string;
  /** Whether it is there. */
  readonly pulled: boolean;
}

/** What the engine offers to its client. */
export interface EngineService<R> {
  readonly requests: ChatRequests & {
    facts(params: Record<never, never>): EngineFacts;
    /** The embedded model, those that are named, and the others that lie compiled in the cache. */
    models(params: { readonly names: readonly string[] }): readonly ModelFacts[];
    /** Compiles a model where needed and loads it, to know where it runs. Jobs wait meanwhile. */
    load(params: ModelChoice): NonNullable<ModelFacts['loaded']>;
    /** Asks a hub what a model consists of; nothing is fetched. */
    offer(params: HubChoice): HubOffer;
    /** Fetches a model at the commit that was offered; its name finds it from then on. Cancelled, it goes on the next time. */
    pull(params: HubChoice & { readonly commit: string }): void;
    /** Queues a clip; where it is queued or running with the same model already, that job's number. */
    assess(params: AssessRequest): { readonly job: string };
    /** Ends a job; resolves when it is over. Unknown jobs are over already. */
    cancel(params: { readonly job: string }): void;
    /** The stored record of a clip as it is now, or what its journal holds of it; null: never assessed. */
    lookup(params: ModelChoice & ResultPlace & { readonly path: string }): {
      readonly record: R | null;
      readonly problems: readonly { code: string; message: string }[];
    };
    /** Forgets stored records and journals of a clip. */
    forget(params: ModelChoice & ResultPlace & { readonly path: string }): void;
    /**
     * The encode of a clip with an output's options of ffmpeg: one that is kept, or made now, as many at a time as the
     * cores allow, with our own argv of what is known to be harmless in them. `id`: the caller's name for its updates.
     */
    encode(params: {
      readonly path: string;
      readonly options: readonly string[];
      readonly id?: string;
    }): EncodeFacts;
    /** Parts of a clip, in order, as a clip: one that is kept, or cut now. */
    cut(params: { readonly path: string; readonly parts: readonly Span[] }): Cut;
    still(params: { readonly path: string; readonly time: number; readonly width: number }): Still;
    /** The frames of a clip, s since the first, and the size of its pictures, px. */
    frames(params: { readonly path: string }): {
      readonly times: readonly number[];
      readonly width: number;
      readonly height: number;
    };
    /**
     * Every pixel of the frame of an encode, or of its source (null), at the time of one of the source's frames, and of
     * others that may come along in the same decode. The pictures' own times are on the source's clock too.
     */
    pictures(params: {
      readonly source: string;
      readonly encode: string | null;
      readonly times: readonly [number, ...number[]];
    }): readonly (Still | null)[];
    filmstrip(params: {
      readonly path: string;
      readonly times: readonly number[];
      readonly height: number;
    }): readonly (Still | null)[];
    /** What to add to a presentation time to get a player's time, s; and what names this content. */
    media(params: { readonly path: string }): { readonly offset: number; readonly revision: string };
    /** Writes a stored record as a report to a file the user named. `span`: only that part. */
    report(
      params: ModelChoice &
        ResultPlace & {
          readonly path: string;
          readonly format: ExportFormat;
          readonly span: Span | null;
          readonly target: string;
        },
    ): void;
  };
  readonly notifications: {
    /** The user looks at this moment of this clip: its windows come first, from there on. */
    readonly prioritise: { readonly path: string; readonly time: number | null; readonly priority: number };
    /** Sent before any request: what an earlier process came to know. */
    readonly limit: DeviceLimit;
  };
}

/** What the client offers to the engine. */
export interface EngineClient<R> {
  readonly requests: {
    /** Answered unless the engine has written, before it asked, that its device drops work: then it is ended. */
    sound(params: Record<never, never>): void;
  };
  readonly notifications: {
    /** Sent as updates, keyed by job: only the newest state matters. */
    readonly job: JobUpdate<R>;
    /** Sent as updates, keyed by the name that was given with the request; none once it is answered. */
    readonly encode: { readonly id: string; readonly state: EncodeState };
    /** Sent as updates, keyed by the model's name: bytes that are there, and in all. */
    readonly pull: { readonly name: string; readonly done: number; readonly total: number };
    /** Pieces of an answer, in order; the whole answer is what `ask` returns. */
    readonly chatText: ChatText;
    readonly device: DeviceReport;
    /** A line for the log. */
    readonly log: { readonly level: 'info' | 'warning' | 'error'; readonly text: string };
  };
}
