import { readdirSync, readFileSync } from 'node:fs';
import { freemem, totalmem } from 'node:os';
import { join } from 'node:path';

/** Reads a file of /proc or /sys; null where there is none. */
export type ReadText = (path: string) => string | null;

/**
 * Bytes that this process may still take without the system ending some process for it.
 *
 * Linux: what the kernel calls available, or what is left of the tightest limit of the process's control groups, where
 * cached files do not count as used. Windows: free physical memory. macOS counts memory as used that it gives back on
 * demand: three quarters of all of it.
 */
export function freeMemory(platform = process.platform, read: ReadText = readText): number {
  if (platform === 'darwin') return totalmem() * 0.75;
  if (platform !== 'linux') return freemem();
  const kilobytes = /^MemAvailable:\s+(\d+) kB/m.exec(read('/proc/meminfo') ?? '')?.[1];
  const machine = kilobytes ? Number(kilobytes) * 1024 : freemem();
  return Math.max(0, Math.min(machine, ...groupsOf(read)));
}

/** What is left of the limits of this process's control groups and of those that they are in. */
function* groupsOf(read: ReadText): Generator<number> {
  for (const line of (read('/proc/self/cgroup') ?? '').trim().split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (path === undefined) continue;
    const unified = controllers === '';
    if (!unified && !controllers!.split(',').includes('memory')) continue;
    const root = unified ? '/sys/fs/cgroup' : '/sys/fs/cgroup/memory';
    const names = unified
      ? { limit: 'memory.max', usage: 'memory.current', cached: /^(?:in)?active_file (\d+)/gm }
      : {
          limit: 'memory.limit_in_bytes',
          usage: 'memory.usage_in_bytes',
          cached: /^total_(?:in)?active_file (\d+)/gm,
        };
    // A container sees its own group as the root; the path is then that of the host, and not there.
    const folders = path.split('/').filter(Boolean);
    for (let depth = folders.length; depth >= 0; depth--) {
      const group = [root, ...folders.slice(0, depth)].join('/');
      const limit = Number(read(`${group}/${names.limit}`)?.trim() || Number.NaN);
      // `max`, and the largest number of version 1, are no limits.
      if (!Number.isFinite(limit) || limit > totalmem()) continue;
      const usage = Number(read(`${group}/${names.usage}`) ?? 0);
      const stat = read(`${group}/memory.stat`) ?? '';
      const cached = [...stat.matchAll(names.cached)].reduce((sum, [, bytes]) => sum + Number(bytes), 0);
      yield limit - (usage - cached);
    }
  }
}

/**
 * Bytes of a graphics device's memory that are free, where the system says so: of the card with the most, on Linux with
 * AMD's driver. Apple's processors share the computer's. Neither onnxruntime nor WebGPU tells; null where nobody does.
 */
export function freeGraphicsMemory(
  platform = process.platform,
  arch = process.arch,
  read: ReadText = readText,
  list: (path: string) => readonly string[] = listNames,
): number | null {
  if (platform === 'darwin' && arch === 'arm64') return freeMemory(platform, read);
  if (platform !== 'linux') return null;
  const drm = '/sys/class/drm';
  const free = list(drm)
    .filter((name) => /^card\d+$/.test(name))
    .flatMap((name) => {
      const [total, used] = ['total', 'used'].map((what) =>
        read(join(drm, name, 'device', `mem_info_vram_${what}`)),
      );
      return total && used ? [Number(total) - Number(used)] : [];
    });
  return free.length > 0 ? Math.max(...free) : null;
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

function listNames(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
