/** Where a clip's time begins: at its first frame, on the file's own clock. */
import { OmniError } from '../protocol/errors.ts';
import { composeArguments, inputUrl, locateFfmpeg, Supervised } from './ffmpeg.ts';
import { inputLimits, maxPixels } from './formats.ts';
import type { VideoInfo } from './probe.ts';

const known = new WeakMap<VideoInfo, Promise<number | null>>();

/**
 * Presentation time of the first frame that can be decoded, on the file's own clock (ffmpeg's `-copyts`), s; null where
 * frames have no time stamps. Looked up once per probed file.
 *
 * @throws OmniError `nothing_decoded`, `ffmpeg_*`
 */
export function firstFrameTime(info: VideoInfo, stallTimeout = 60_000): Promise<number | null> {
  let time = known.get(info);
  if (!time) {
    // Whoever asks next shares the answer, so that no single caller's signal may end the question.
    time = decodeFirst(info, stallTimeout);
    known.set(info, time);
    time.catch(() => known.delete(info));
  }
  return time;
}

async function decodeFirst(info: VideoInfo, stallTimeout: number): Promise<number | null> {
  const { ffmpeg } = await locateFfmpeg();
  const options = [['-nostdin'], ['-hide_banner'], ['-nostats'], ['-v', 'repeat+level+info'], ['-copyts']];
  const args = composeArguments({
    inputs: [
      {
        url: inputUrl(info.path),
        options: [...options, ...inputLimits, ['-max_pixels', String(maxPixels)]],
      },
    ],
    filter: `[0:${info.streamIndex}]showinfo=checksum=0,trim=end_frame=1[first]`,
    outputOptions: [
      ['-map', '[first]'],
      ['-f', 'null'],
    ],
    output: '-',
  });
  let timeBase = Number.NaN;
  let stamp: string | undefined;
  const child = new Supervised(ffmpeg, args, {
    stallTimeout,
    onStderrLine(line) {
      const base = /^\[Parsed_showinfo_0 @ [^\]]+\] \[info\] config in time_base: (\d+)\/(\d+)/.exec(line);
      if (base) timeBase = Number(base[1]) / Number(base[2]);
      stamp ??= /^\[Parsed_showinfo_0 @ [^\]]+\] \[info\] n: *0 pts: *(-?\d+|NOPTS) /.exec(line)?.[1];
    },
  });
  const { signal } = await child.ended;
  if (signal) {
    throw new OmniError(
      'ffmpeg_failed',
      `ffmpeg was ended by ${signal} at the first frame.`,
      'If it happens again, the file crashes this ffmpeg: install a newer one or re-encode the file.',
      { path: info.path, command: child.display, stderr: child.stderrTail },
    );
  }
  if (stamp === undefined) {
    throw new OmniError(
      'nothing_decoded',
      `No frame of ${info.path} could be decoded.`,
      'Play the file to see whether it is damaged; a codec that this ffmpeg lacks is named in its message.',
      { path: info.path, command: child.display, stderr: child.stderrTail },
    );
  }
  return stamp === 'NOPTS' ? null : Number(stamp) * timeBase;
}
