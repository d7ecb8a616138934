// Writes THIRD_PARTY_NOTICES from the installed packages that ship with the product (everything in
// package-lock.json that is no development dependency and not optional: those are of the packages' own command lines,
// which do not ship; and what bundles take in of the former), with their licence texts. `--check` only compares.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './setup.mjs';

const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
/** Development dependencies whose runtime part ends up in a bundle. */
const bundled = ['node_modules/svelte'];
const sections = Object.entries(lock.packages)
  .filter(
    ([path, { dev, devOptional, optional }]) =>
      path && (bundled.includes(path) || !(dev || devOptional || optional)),
  )
  .sort(([a], [b]) => (a < b ? -1 : 1))
  .map(([path]) => {
    const manifest = JSON.parse(readFileSync(join(root, path, 'package.json'), 'utf8'));
    const texts = readdirSync(join(root, path))
      .filter((name) => /^(licen[cs]e|notice|copying)/i.test(name))
      .sort()
      .map((name) =>
        readFileSync(join(root, path, name), 'utf8')
          .replaceAll('\r\n', '\n')
          .trim(),
      );
    const author = typeof manifest.author === 'string' ? manifest.author : manifest.author?.name;
    return [
      `${manifest.name} ${manifest.version}`,
      `Licence: ${manifest.license ?? manifest.licenses?.map((one) => one.type).join(', ')}`,
      ...(author ? [`Author: ${author}`] : []),
      ...(texts.length ? ['', ...texts] : []),
    ].join('\n');
  });

const rule = '-'.repeat(80);
const text = [
  'Third-party software in OmniVQA',
  '',
  'Made by `node scripts/notices.mjs` from package-lock.json. ffmpeg is not shipped: the one on the',
  "user's machine is run. The data that OmniVQA-Nano was trained on is attributed in",
  'models/nano/MODEL_CARD.md.',
  '',
  ...sections.flatMap((section) => [rule, section, '']),
].join('\n');

const file = join(root, 'THIRD_PARTY_NOTICES');
if (process.argv.includes('--check')) {
  if (!existsSync(file) || readFileSync(file, 'utf8') !== text) {
    process.stderr.write('THIRD_PARTY_NOTICES is out of date: run `npm run notices`.\n');
    process.exitCode = 1;
  }
} else {
  writeFileSync(file, text);
}
