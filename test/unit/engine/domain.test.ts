import { join } from 'node:path';
import { expect, it } from 'vitest';
import { assessVideo } from '../../../src/engine/assess.ts';
import { copyCheckpoint } from '../../support/checkpoints.ts';
import { loadForTest, temporaryCache } from '../../support/engine.ts';
import { temporaryDirectory, writeClip } from '../../support/media.ts';

it('notes a test card and HDR, once each, where a model sees fragments of the frame', async () => {
  temporaryCache();
  const folder = temporaryDirectory();
  const tags = [
    ...['-c:v', 'ffv1', '-pix_fmt', 'yuv420p10le', '-color_range', 'tv'],
    ...['-color_trc', 'arib-std-b67', '-color_primaries', 'bt2020', '-colorspace', 'bt2020nc'],
  ];
  const path = writeClip(join(folder, 'card.mkv'), {
    seconds: 2,
    size: '640x360',
    source: 'smptebars',
    output: tags,
  });
  const statistics = await loadForTest(copyCheckpoint('separate-statistics'));
  const { problems } = await assessVideo(path, statistics);
  const notes = problems.filter(({ code }) => code.startsWith('out_of_domain'));
  expect(notes).toEqual([
    { code: 'out_of_domain_hdr', message: expect.stringContaining('SDR') },
    {
      code: 'out_of_domain_drawn',
      message: expect.stringContaining('drawn, not filmed'),
      start: 0,
      end: expect.closeTo(2, 5),
    },
  ]);

  // Of what a published checkpoint was trained on nothing is known here.
  const patches = await assessVideo(path, await loadForTest(copyCheckpoint('separate-patch')));
  expect(patches.problems.map(({ code }) => code)).toEqual(
    problems.map(({ code }) => code).filter((code) => !code.startsWith('out_of_domain')),
  );
});
