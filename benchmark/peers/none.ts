/**
 * No pool at all: what the borrowers themselves cost.
 */
import { crowdOfFibers, hold } from "./fibers.ts"
import type { OpenPeer } from "./peer.ts"
import { crowdOfPromises } from "./promises.ts"

const nothing = () => Promise.resolve()

export const fibers: OpenPeer = () => Promise.resolve({ crowd: crowdOfFibers(hold), close: nothing })

export const promises: OpenPeer = () => Promise.resolve({ crowd: crowdOfPromises(nothing, () => {}), close: nothing })
