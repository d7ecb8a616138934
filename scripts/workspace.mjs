// Makes a small workspace of sample clips to try the extension on: the rendered sample, the same scene at three qualities
// of one encoder, and a 10-bit HEVC that browsers can not play. Everything is made from media/sample.mp4.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './setup.mjs';

const ffmpeg = process.env.OMNIVQA_FFMPEG || 'ffmpeg';

/** Writes the clips that are missing; an encoder that this ffmpeg lacks leaves its clip out. Returns the folder. */
export function makeWorkspace(folder) {
  const sample = join(root, 'media', 'sample.mp4');
  mkdirSync(join(folder, 'encodes'), { recursive: true });
  if (!existsSync(join(folder, 'sample.mp4'))) copyFileSync(sample, join(folder, 'sample.mp4'));
  const encode = (name, video) => {
    const target = join(folder, name);
    if (existsSync(target)) return;
    const part = join(folder, `.making-${name.replaceAll('/', '-')}`);
    const filter = 'scale=640:360:flags=lanczos';
    const base = ['-v', 'error', '-y', '-i', `file:${sample}`, '-an', '-vf', filter];
    const made = spawnSync(ffmpeg, [...base, ...video, `file:${part}`], { stdio: 'ignore' });
    if (made.status === 0) renameSync(part, target);
    else rmSync(part, { force: true });
  };
  for (const crf of [24, 34, 44]) {
    encode(`encodes/crf-${crf}.mp4`, ['-c:v', 'libx264', '-preset', 'veryfast', '-crf', String(crf)]);
  }
  const tenBit = ['-c:v', 'libx265', '-preset', 'ultrafast', '-crf', '26', '-pix_fmt', 'yuv420p10le'];
  encode('hevc 10-bit.mkv', [...tenBit, '-x265-params', 'log-level=error']);
  writeFileSync(
    join(folder, 'README.md'),
    `# Sample clips

Right-click a video and choose **Assess quality**.

- \`sample.mp4\`: a rendered scene with a stutter, a blur, blocks, noise and an overexposure at known times.
- \`encodes/\`: the same scene at three qualities of x264.
- \`hevc 10-bit.mkv\`: a codec that browsers do not play; the timeline shows stills.
`,
  );
  return folder;
}
