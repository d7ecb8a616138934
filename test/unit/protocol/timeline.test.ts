import { expect, it } from 'vitest';
import { timelinePage } from '../../../src/protocol/timeline.ts';

const page = timelinePage({
  script: 'https://x/timeline.js?a=1&b="2"',
  style: 'https://x/timeline.css',
  source: 'https://*.vscode-cdn.net',
  media: ['http://127.0.0.1:4000'],
  nonce: 'abc+/=',
  language: 'en"><script>',
});

it('allows nothing but what it names, nothing inline and nothing evaluated', () => {
  const policy = /Content-Security-Policy" content="([^"]+)"/.exec(page)?.[1]?.replaceAll('&#39;', "'");
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("script-src 'nonce-abc+/='");
  expect(policy).toContain('media-src https://*.vscode-cdn.net http://127.0.0.1:4000');
  expect(policy).not.toContain('unsafe');
  expect(page).not.toMatch(/<style|style=|onload|javascript:/);
});

it('escapes what is put into it', () => {
  expect(page).toContain('<html lang="en&#34;&#62;&#60;script&#62;">');
  expect(page).toContain('src="https://x/timeline.js?a=1&#38;b=&#34;2&#34;"');
  expect(page.match(/<script/g)).toHaveLength(1);
});
