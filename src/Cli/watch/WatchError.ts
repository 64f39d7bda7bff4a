/**
 * The errors of a watch: why a process cannot be watched, and that it was at `Critical` or worse at the end.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Runtime from "effect/Runtime"
import type { Level } from "../../Monitor/Usage.ts"

/**
 * There is no process with this pid, or it is hidden from this user.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoSuchProcess extends Data.TaggedError("NoSuchProcess")<{ readonly pid: number }> {
  readonly isRetryable = false
  override get message(): string {
    return `there is no process ${this.pid}, or it is hidden from this user`
  }
}

/**
 * The process has ended; only its entry in the table of processes is left.
 *
 * @category errors
 * @since 0.1.0
 */
export class AlreadyEnded extends Data.TaggedError("AlreadyEnded")<{
  readonly process: string
  readonly parent: number
}> {
  readonly isRetryable = false
  override get message(): string {
    return `${this.process} is a zombie: it has ended, and its parent ${this.parent} has not waited for it`
  }
}

/**
 * The number is that of a thread.
 *
 * @category errors
 * @since 0.1.0
 */
export class IsThread extends Data.TaggedError("IsThread")<{ readonly thread: number; readonly pid: number }> {
  readonly isRetryable = false
  override get message(): string {
    return `${this.thread} is a thread of process ${this.pid}: watch that one`
  }
}

/**
 * The process belongs to another user.
 *
 * @category errors
 * @since 0.1.0
 */
export class PermissionDenied extends Data.TaggedError("PermissionDenied")<{
  readonly process: string
  readonly path: string
}> {
  readonly isRetryable = false
  override get message(): string {
    return `permission denied: ${this.path} of ${this.process} can be read only by its own user and by root`
  }
}

/**
 * There is no `/proc` here.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnsupportedPlatform extends Data.TaggedError("UnsupportedPlatform")<{ readonly platform: string }> {
  readonly isRetryable = false
  override get message(): string {
    return `another process can be watched only on Linux with /proc mounted, and this is ${this.platform}`
  }
}

/**
 * A file that is needed could not be read, for a reason that is not the process's: usually a shortage of descriptors here.
 *
 * @category errors
 * @since 0.1.0
 */
export class CannotLook extends Data.TaggedError("CannotLook")<{ readonly code: string; readonly path: string }> {
  readonly isRetryable = true
  override get message(): string {
    return `cannot read ${this.path}: ${this.code}`
  }
}

/**
 * Why a process cannot be watched.
 *
 * @category errors
 * @since 0.1.0
 */
export type Reason =
  | NoSuchProcess
  | AlreadyEnded
  | IsThread
  | PermissionDenied
  | UnsupportedPlatform
  | CannotLook

/**
 * The process cannot be watched. The exit status is 1.
 *
 * @category errors
 * @since 0.1.0
 */
export class WatchFailed extends Data.TaggedError("WatchFailed")<{ readonly reason: Reason }> {
  override readonly [Runtime.errorExitCode] = 1
  override readonly [Runtime.errorReported] = false
  get isRetryable(): boolean {
    return this.reason.isRetryable
  }
  override get message(): string {
    return `sluice watch: ${this.reason.message}`
  }
}

/**
 * The watch ended while the process was at `Critical` or worse. The exit status is 3.
 *
 * @category errors
 * @since 0.1.0
 */
export class EndedInDanger extends Data.TaggedError("EndedInDanger")<{
  readonly process: string
  readonly level: Level
  /** The figures that are at that level. */
  readonly figures: string
}> {
  override readonly [Runtime.errorExitCode] = 3
  override readonly [Runtime.errorReported] = false
  override get message(): string {
    return `sluice watch: ${this.process} is ${this.level} at the end: ${this.figures}`
  }
}
