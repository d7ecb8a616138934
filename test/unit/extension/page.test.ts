import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Page } from '../../../src/extension/page.ts';

/** The two members of a webview that a page uses. */
function view() {
  const documents: string[] = [];
  const listeners = new Set<(message: unknown) => void>();
  const webview = {
    set html(text: string) {
      documents.push(text);
    },
    onDidReceiveMessage: (listener: (message: unknown) => void) => {
      listeners.add(listener);
      return { dispose: () => listeners.delete(listener) };
    },
  };
  return {
    documents,
    webview: webview as unknown as ConstructorParameters<typeof Page>[0],
    answer: () => listeners.forEach((listener) => void listener({})),
  };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it('gives a view that does not answer its document again, with another nonce, and not for ever', () => {
  const { documents, webview } = view();
  new Page(webview, (nonce) => nonce);
  vi.advanceTimersByTime(3_600_000);
  expect(documents).toHaveLength(4);
  expect(new Set(documents).size).toBe(4);
});

it('leaves a view alone that has answered', () => {
  const { documents, webview, answer } = view();
  new Page(webview, (nonce) => nonce);
  vi.advanceTimersByTime(20_000);
  expect(documents).toHaveLength(2);
  answer();
  vi.advanceTimersByTime(3_600_000);
  expect(documents).toHaveLength(2);
});

it('ends with its view', () => {
  const { documents, webview } = view();
  new Page(webview, (nonce) => nonce).dispose();
  vi.advanceTimersByTime(3_600_000);
  expect(documents).toHaveLength(1);
});
