// Apart, and loaded with the first pull: a static import of these two is all that the bundle takes of the package.
import { listFiles, modelInfo } from '@huggingface/hub';

/** What the hub says of a revision; all of it untrusted. */
export interface Described {
  readonly commit: unknown;
  readonly gated: unknown;
  readonly card: unknown;
}

/** The commit that a revision is at, and the card of it. */
export async function describeRevision(
  name: string,
  revision: string,
  hubUrl: string,
  fetcher: typeof fetch,
): Promise<Described> {
  const info = await modelInfo({
    name,
    revision,
    hubUrl,
    fetch: fetcher,
    additionalFields: ['sha', 'cardData'],
  });
  return { commit: info.sha, gated: info.gated, card: info.cardData };
}

/** The files at the top of a revision. */
export async function* listRevision(name: string, commit: string, hubUrl: string, fetcher: typeof fetch) {
  const repo = { type: 'model', name } as const;
  yield* listFiles({ repo, revision: commit, hubUrl, fetch: fetcher });
}
