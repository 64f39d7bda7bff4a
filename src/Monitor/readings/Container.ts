/**
 * The limits and the usage of the container of this process: memory, processes and pressure, from its control groups.
 *
 * @since 0.1.0
 */
import { quietly } from "../../internal/SafeRead.ts"
import * as Reading from "../Reading.ts"
import type { Gauge } from "../Usage.ts"
import { amountReading, guarded, isSaturation, limitReading, pressureReading, smaller, valueOf } from "./Procfs.ts"
import type { OpenFiles, ProcReader, SmallFile } from "./Procfs.ts"

/**
 * The directories with this process's figures for one controller: its own group first, then each group above it that is
 * visible here.
 *
 * @category models
 * @since 0.1.0
 */
export interface Hierarchy {
  readonly version: 1 | 2
  readonly directories: ReadonlyArray<string>
}

/**
 * The groups of this process, and where groups are mounted.
 *
 * @category models
 * @since 0.1.0
 */
export interface Placement {
  readonly memberships: ReadonlyArray<Membership>
  readonly mounts: ReadonlyArray<Mount>
}

interface Membership {
  readonly controllers: ReadonlyArray<string>
  readonly path: string
}

interface Mount {
  /** The group that is mounted. */
  readonly root: string
  /** Where it is mounted. */
  readonly point: string
  readonly type: string
  readonly options: ReadonlyArray<string>
}

const membershipsOf = (text: string): ReadonlyArray<Membership> =>
  text.split("\n").flatMap((line) => {
    const match = /^\d+:([^:]*):(\/.*)$/.exec(line)
    return match === null ? [] : [{ controllers: (match[1] ?? "").split(","), path: match[2] ?? "/" }]
  })

// The kernel writes a space in a path as \040, and so on.
const unescaped = (path: string): string =>
  !path.includes("\\")
    ? path
    : path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))

// One or two of dozens of mounts are control groups. The expression finds only those.
const mountLine = /^\S+ \S+ \S+ (\S+) (\S+)(?: (?!- )\S+)* - (cgroup2?)(?: \S* ?(\S*).*)?$/gm

const mountsOf = (text: string): ReadonlyArray<Mount> =>
  Array.from(text.matchAll(mountLine), ([, root = "", point = "", type = "", options = ""]) => ({
    root: unescaped(root),
    point: unescaped(point),
    type,
    options: options.split(",")
  }))

const isWithin = (path: string, root: string): boolean => root === "/" || path === root || path.startsWith(`${root}/`)

/** From the group at `path` up to the mounted one. If the group is not within the mount, only the mounted group counts. */
const directoriesOf = (path: string, { root, point }: Mount): ReadonlyArray<string> => {
  if (!isWithin(path, root) || path.split("/").includes("..")) return [point]
  const steps = path.slice(root === "/" ? 0 : root.length).split("/").filter((step) => step !== "")
  return steps.map((_, i) => [point, ...steps.slice(0, steps.length - i)].join("/")).concat(point)
}

const isUnified = ({ controllers }: Membership): boolean => controllers.join() === ""

/**
 * Reads `/proc/self/cgroup` and `/proc/self/mountinfo`.
 *
 * @category parsing
 * @since 0.1.0
 */
export const placementOf = (cgroup: string, mountinfo: string): Placement => ({
  memberships: membershipsOf(cgroup),
  mounts: mountsOf(mountinfo)
})

/**
 * Finds the unified hierarchy of this process.
 *
 * @category parsing
 * @since 0.1.0
 */
export const unifiedOf = ({ memberships, mounts }: Placement): Hierarchy | undefined => {
  const membership = memberships.find(isUnified)
  const mount = mounts.find(({ type }) => type === "cgroup2")
  if (membership === undefined || mount === undefined) return undefined
  return { version: 2, directories: directoriesOf(membership.path, mount) }
}

/**
 * Finds the hierarchy of a controller of this process.
 *
 * **Details**
 *
 * On a system with both versions, each controller is in one of them: in version 1 if a line of `/proc/self/cgroup` names it,
 * else in the unified hierarchy. `undefined` when neither is mounted here.
 *
 * @category parsing
 * @since 0.1.0
 */
export const hierarchyOf = (controller: "memory" | "pids", placement: Placement): Hierarchy | undefined => {
  const owner = placement.memberships.find(({ controllers }) => controllers.includes(controller))
  const mount = placement.mounts.find(({ type, options }) => type === "cgroup" && options.includes(controller))
  return owner !== undefined && mount !== undefined
    ? { version: 1, directories: directoriesOf(owner.path, mount) }
    : unifiedOf(placement)
}

/**
 * The files with a group's memory, by version. `cache` are the keys in `memory.stat` for file contents, which the kernel drops
 * when memory is needed.
 *
 * @category constants
 * @since 0.1.0
 */
export const memoryFiles = {
  1: {
    used: "memory.usage_in_bytes",
    limit: "memory.limit_in_bytes",
    stat: "memory.stat",
    cache: ["total_inactive_file", "total_active_file"]
  },
  2: { used: "memory.current", limit: "memory.max", stat: "memory.stat", cache: ["inactive_file", "active_file"] }
} as const

/**
 * The probes of one container.
 *
 * @category models
 * @since 0.1.0
 */
export interface Container {
  readonly memory: (now: number) => Gauge
  readonly processLimit: (now: number) => Reading.Reading
  readonly pressure: (resource: Resource, now: number) => Reading.Reading
}

type Resource = "memory" | "cpu" | "io"

/** Reads one control group: its usage and its limit. */
type Level = (now: number) => Gauge

interface Groups {
  readonly memory: ReadonlyArray<Level>
  /** The gate does not need these. Their files are opened when they are read for the first time. */
  readonly processLimits: () => ReadonlyArray<SmallFile>
  readonly pressure: (resource: Resource) => SmallFile
}

/** The groups of this process. */
const ownMembership = "/proc/self/cgroup"
const mounts = "/proc/self/mountinfo"

/**
 * The memory in use, without file contents, which the kernel drops when memory is needed. With them, a group that reads many
 * files would always be at its limit, although it has enough memory.
 */
const withoutCache = (
  used: Reading.Reading,
  stat: string | undefined,
  keys: ReadonlyArray<string>
): Reading.Reading => {
  const cache = keys.reduce((sum, key) => sum + (valueOf(stat ?? "", key) ?? 0), 0)
  return used._tag === "Known" && cache > 0 && cache < used.value
    ? { ...used, value: used.value - cache, exact: false }
    : used
}

const levelOf = (files: OpenFiles, directory: string, version: 1 | 2, isHeld: boolean): Level => {
  const names = memoryFiles[version]
  const open = (name: string) => files.file(`${directory}/${name}`, isHeld)
  const [used, limit, stat] = [open(names.used), open(names.limit), open(names.stat)]
  return (now) => ({
    used: withoutCache(
      guarded(used.path, () => amountReading(used.text(), now, used.path, 1)),
      quietly(stat.text),
      names.cache
    ),
    limit: guarded(limit.path, () => limitReading(limit.text(), now, limit.path, 1))
  })
}

// The process's own group, and those groups above it that have a limit. Limits are seldom set later, so this is checked once.
const limited = (files: OpenFiles, hierarchy: Hierarchy | undefined, name: string): ReadonlyArray<string> =>
  (hierarchy?.directories ?? []).filter((directory, i) => {
    const path = `${directory}/${name}`
    return i === 0 || guarded(path, () => limitReading(files.contents(path), 0, path, 1))._tag === "Known"
  })

interface ContainerOptions {
  /** Whether the files stay open. */
  readonly isHeld: boolean
  /** Resident memory of this process in bytes, without the contents of files. */
  readonly resident: (now: number) => Reading.Reading
  /**
   * The file that lists the groups of the process.
   *
   * @default "/proc/self/cgroup"
   */
  readonly membership?: string | undefined
}

const locate = (files: OpenFiles, membership: string, isHeld: boolean): Groups => {
  const placement = placementOf(files.contents(membership), files.contents(mounts))
  const memory = hierarchyOf("memory", placement)
  const unified = unifiedOf(placement)?.directories[0] ?? ""
  const version = memory?.version ?? 2
  let processLimits: ReadonlyArray<SmallFile> | undefined
  const pressure = new Map<Resource, SmallFile>()
  const pressureFile = (resource: Resource): SmallFile => {
    const known = pressure.get(resource)
    if (known !== undefined) return known
    const own = `${unified}/${resource}.pressure`
    const works = guarded(own, () => pressureReading(files.contents(own), 0, own))._tag === "Known"
    const file = files.file(works ? own : `/proc/pressure/${resource}`, isHeld)
    pressure.set(resource, file)
    return file
  }
  return {
    memory: limited(files, memory, memoryFiles[version].limit)
      .map((directory) => levelOf(files, directory, version, isHeld)),
    processLimits: () =>
      processLimits ??= limited(files, hierarchyOf("pids", placement), "pids.max")
        .map((directory) => files.file(`${directory}/pids.max`, isHeld)),
    pressure: pressureFile
  }
}

const roomIn = ({ used, limit }: Gauge): number =>
  limit._tag === "Known" ? limit.value - (used._tag === "Known" ? used.value : 0) : Infinity

// A missing file means that there is no limit: it is the root group.
const withoutFile = (limit: Reading.Reading): Reading.Reading =>
  limit._tag === "Unknown" && limit.reason === "Missing" ? Reading.unlimited(limit.source) : limit

// If no group is mounted, there may still be limits, but they cannot be read.
const unseen = Reading.unknown("Missing", ownMembership)

/**
 * The gauge of the group with the least room. If no group has a limit, it is that of the process's own group.
 *
 * @category combinators
 * @since 0.1.0
 */
export const tightest = (gauges: ReadonlyArray<Gauge>): Gauge => {
  const [first, ...others] = gauges
  if (first === undefined) return { used: unseen, limit: unseen }
  const least = others.reduce((least, gauge) => roomIn(gauge) < roomIn(least) ? gauge : least, first)
  return { used: least.used, limit: withoutFile(least.limit) }
}

const lambdaMemory = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"

/**
 * The limit in bytes from AWS Lambda's environment variable, which is in MiB. An invalid value is `Unknown`.
 *
 * @category parsing
 * @since 0.1.0
 */
export const lambdaLimit = (text: string | undefined, now: number): Reading.Reading => {
  const mebibytes = amountReading(text, now, lambdaMemory, 1)
  return mebibytes._tag === "Known" ? { ...mebibytes, value: mebibytes.value * 1024 * 1024 } : mebibytes
}

/** Platforms without control groups, and so without their limits. */
const platformsWithoutGroups: ReadonlySet<string> = new Set(["darwin", "win32"])

const withoutGroups = (platform: string, membership: string, cause: unknown): Gauge => ({
  used: Reading.fromFailure(cause, membership),
  limit: platformsWithoutGroups.has(platform) ? Reading.unlimited(platform) : Reading.fromFailure(cause, membership)
})

/** Finds the groups once. If that fails at the descriptor limit, the next reading tries again. */
const found = (files: OpenFiles, membership: string, isHeld: boolean) => {
  let groups: Groups | undefined
  let failure: { readonly cause: unknown } | undefined
  const find = (): Groups => {
    if (failure !== undefined) throw failure.cause
    try {
      return groups ??= locate(files, membership, isHeld)
    } catch (cause) {
      if (!isSaturation(cause)) failure = { cause }
      throw cause
    }
  }
  quietly(find)
  return find
}

/**
 * The probes of the container that this process is in.
 *
 * **Details**
 *
 * - Memory: that of the group with the least room, among the process's own control group and the limited groups above it (of version 1 or
 *   2, whichever has the controller). File contents are not counted, because the kernel drops them on demand. On AWS Lambda, the limit in
 *   the environment applies if it is smaller. If no limited group can be read there, the usage is the resident memory of this process
 *   without file contents.
 * - Processes: the smallest `pids.max` of these groups.
 * - Pressure: that of the process's own group, or else that of the whole system.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  reader: ProcReader,
  files: OpenFiles,
  { isHeld, membership = ownMembership, resident: residentMemory }: ContainerOptions
): Container => {
  const groups = found(files, membership, isHeld)
  const ofGroups = (now: number): Gauge => {
    try {
      return tightest(groups().memory.map((level) => level(now)))
    } catch (cause) {
      return withoutGroups(reader.platform, membership, cause)
    }
  }
  return {
    memory: (now) => {
      const gauge = ofGroups(now)
      const stated = lambdaLimit(quietly(() => reader.environment(lambdaMemory)), now)
      if (stated._tag !== "Known" || smaller(stated, gauge.limit) !== stated) return gauge
      const resident = residentMemory(now)
      const used = resident._tag === "Known" ? { ...resident, exact: false } : resident
      // A group without a limit has other programs in it, whose memory does not count against the limit of the function.
      const isOwn = gauge.limit._tag === "Known" && gauge.used._tag === "Known"
      return { used: isOwn ? gauge.used : used, limit: stated }
    },
    processLimit: (now) =>
      guarded(membership, () => {
        const [first, ...others] = groups().processLimits()
          .map((file) => withoutFile(guarded(file.path, () => limitReading(file.text(), now, file.path, 1))))
        return others.reduce(smaller, first ?? unseen)
      }),
    pressure: (resource, now) => {
      const path = `/proc/pressure/${resource}`
      return guarded(path, () => {
        const file = groups().pressure(resource)
        return guarded(file.path, () => pressureReading(file.text(), now, file.path))
      })
    }
  }
}
