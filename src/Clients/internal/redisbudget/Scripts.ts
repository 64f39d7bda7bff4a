/**
 * The scripts that change a budget at its store. Each is atomic at the server.
 *
 * **Details**
 *
 * All keys of a budget have one hash tag, so that they are on one node of a Redis Cluster:
 *
 * - `{KEY}:state`, a hash: `limit` if an operator has set one, `used`, the last `fence`, the last `seq`, `freed` and `gap`: the time of the last release,
 *   or of the first request that waited since, and the mean time between two releases while requests wait.
 * - `{KEY}:held`, a sorted set: the id of each permit, with the time at which its lease ends.
 * - `{KEY}:info`, a hash: for each id "weight token since holder label".
 * - `{KEY}:queue`, a sorted set: the ids that wait, in their order.
 * - `{KEY}:wait`, a hash: for each of these "weight lease seen holder channel label", where `seen` is the time until which it counts as alive.
 *
 * `used` is the sum of the weights in `info`. Times are milliseconds of the server's own clock.
 *
 * @since 0.1.0
 */

/** The time of the server, in microseconds. */
const serverTime = `
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
`

const prelude = `
local state, held, info, queue, wait = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local now = math.floor(micros / 1000)
-- The first argument is the limit that applies while no operator has set one.
local fields = redis.call('HMGET', state, 'limit', 'used', 'fence', 'seq', 'freed', 'gap')
local limit = tonumber(fields[1] or ARGV[1])

-- The sum from the records, for a store that has lost a part of the budget, such as one that evicts keys.
local function total()
  local sum = 0
  for _, record in ipairs(redis.call('HVALS', info)) do sum = sum + tonumber(string.match(record, '^%d+')) end
  return sum
end

local used = tonumber(fields[2] or total())
local fence = tonumber(fields[3] or 0)
local seq = tonumber(fields[4] or 0)
local freed = tonumber(fields[5] or 0)
local gap = tonumber(fields[6] or 1)

local function number(value) return string.format('%.0f', value) end

-- What has changed is written once, at the end.
local before = { used = used, fence = fence, seq = seq, freed = freed, gap = gap }
local function save()
  local changed = {}
  if used ~= before.used then changed[#changed + 1] = 'used'; changed[#changed + 1] = number(used) end
  if fence ~= before.fence then changed[#changed + 1] = 'fence'; changed[#changed + 1] = number(fence) end
  if seq ~= before.seq then changed[#changed + 1] = 'seq'; changed[#changed + 1] = number(seq) end
  if freed ~= before.freed or gap ~= before.gap then
    changed[#changed + 1] = 'freed'; changed[#changed + 1] = number(freed)
    changed[#changed + 1] = 'gap'; changed[#changed + 1] = string.format('%.3f', gap)
  end
  if #changed > 0 then redis.call('HSET', state, unpack(changed)) end
end

-- Ends a permit. It is no error if there is none.
local function drop(id)
  local record = redis.call('HGET', info, id)
  if not record then
    if redis.call('ZREM', held, id) == 1 then used = total() end
    return false
  end
  used = used - tonumber(string.match(record, '^%d+'))
  redis.call('HDEL', info, id)
  redis.call('ZREM', held, id)
  return true
end

-- Ends permits whose lease is over. The bound keeps a script short.
local function sweep(most)
  local over = redis.call('ZRANGE', held, '-inf', number(now), 'BYSCORE', 'LIMIT', 0, most)
  for _, id in ipairs(over) do drop(id) end
  return #over
end

-- The token is greater than all before, also after the store has lost its data.
local function grant(id, weight, lease, holder, label)
  fence = math.max(fence + 1, micros)
  used = used + weight
  redis.call('ZADD', held, number(now + lease), id)
  redis.call('HSET', info, id, weight .. ' ' .. number(fence) .. ' ' .. number(now) .. ' ' .. holder .. ' ' .. label)
  return number(fence)
end

local function leave(id)
  redis.call('ZREM', queue, id)
  redis.call('HDEL', wait, id)
end

-- Gives permits to those that wait, in their order. No request passes the first one.
local function serve()
  for _ = 1, 128 do
    if used >= limit then return end
    local id = redis.call('ZRANGE', queue, 0, 0)[1]
    if not id then return end
    local weight, lease, seen, holder, channel, label =
      string.match(redis.call('HGET', wait, id) or '', '^(%d+) (%d+) (%d+) (%S+) (%S+) (.*)$')
    weight = tonumber(weight)
    if not weight or tonumber(seen) < now then
      -- It has died. Without an entry it asks again, and gets another place.
      leave(id)
    elseif weight > limit then
      leave(id)
      if channel ~= '-' then redis.call('PUBLISH', channel, id .. ' refused ' .. number(limit)) end
    elseif used + weight > limit then
      return
    else
      leave(id)
      local token = grant(id, weight, tonumber(lease), holder, label)
      local receivers = 0
      if channel ~= '-' then
        receivers = redis.call('PUBLISH', channel, id .. ' granted ' .. number(now) .. ' ' .. lease .. ' ' .. token .. ' ' .. number(limit))
      end
      -- The holder does not know yet. If it does not ask within this time, the next one gets the permit.
      if receivers == 0 then redis.call('ZADD', held, number(now + math.min(tonumber(lease), 2000)), id) end
    end
  end
end
`

/**
 * Takes a permit, or a place in the queue, or says once more that the place is still wanted.
 *
 * Arguments: limit, id, weight, lease, how long the place is kept (0: no place is wanted), channel or "-", holder, 1 if the id is new, label.
 */
const acquire = `
local id, weight, lease, keep, channel, holder, isNew, label =
  ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8] == '1', ARGV[9]
local place = redis.call('ZSCORE', queue, id)
local entry = weight .. ' ' .. lease .. ' ' .. number(now + keep) .. ' ' .. holder .. ' '
-- It lives. Without a channel it is not sent a message about what this answer says.
if place and not isNew then redis.call('HSET', wait, id, entry .. '- ' .. label) end
if sweep(64) > 0 then serve() end
local record = redis.call('HGET', info, id)
-- A copy of a process may use the same id. Two holders would have one permit then.
if isNew and (record or place) then
  save()
  return { 'conflict', now, limit }
end
if record then
  redis.call('ZADD', held, number(now + lease), id)
  save()
  return { 'granted', now, lease, string.match(record, '^%d+ (%d+)'), limit }
end
-- With a limit of 0 all wait for another one.
if limit > 0 and weight > limit then
  leave(id)
  serve()
  save()
  return { 'refused', now, limit }
end
if keep == 0 then
  local isFree = used + weight <= limit and redis.call('ZCARD', queue) == 0
  local token = isFree and grant(id, weight, lease, holder, label)
  save()
  if isFree then return { 'granted', now, lease, token, limit } end
  return { 'waiting', now, 0, 0, number(fence), limit }
end
if not place then
  seq = seq + 1
  redis.call('ZADD', queue, number(seq), id)
end
if used < limit then
  redis.call('HSET', wait, id, entry .. '- ' .. label)
  serve()
  record = redis.call('HGET', info, id)
  if record then
    -- This answer informs it, so it need not ask again.
    redis.call('ZADD', held, number(now + lease), id)
    save()
    return { 'granted', now, lease, string.match(record, '^%d+ (%d+)'), limit }
  end
end
local position = redis.call('ZRANK', queue, id)
-- The time before requests waited says nothing of how often permits come back.
if not place and position == 0 then freed = now end
save()
redis.call('HSET', wait, id, entry .. channel .. ' ' .. label)
-- One that is informed when it gets a permit only has to show that it lives. Of all others, the first ask most often.
local delay = channel == '-' and math.max(position * math.max(gap, (now - freed) / 20) * 0.4, 10) or keep / 3
if position < 4 then
  local first = redis.call('ZRANGE', held, 0, 0, 'WITHSCORES')[2]
  if first then delay = math.min(delay, math.max(tonumber(first) - now + 1, 10)) end
end
return { 'waiting', now, position, math.floor(math.min(delay, keep / 3)), number(fence), limit }
`

/** Gives permits and places in the queue back. Arguments: limit, ids. */
const release = `
local count = 0
local isWaiting = redis.call('ZCARD', queue) > 0
for index = 2, #ARGV do
  if not drop(ARGV[index]) then
    leave(ARGV[index])
  else
    count = count + 1
    -- The clock of the server may have been set back.
    if isWaiting then gap = 0.95 * gap + 0.05 * math.max(math.min(now - freed, 1000), 0) end
    freed = now
  end
end
sweep(64)
serve()
save()
return count
`

/** Renews leases. Arguments: limit, lease, ids. Returns the limit, and for each id 1 if it is still held, otherwise 0. */
const renew = `
local results = { limit }
sweep(64)
for index = 3, #ARGV do
  local isHeld = redis.call('ZSCORE', held, ARGV[index])
  if isHeld then redis.call('ZADD', held, number(now + tonumber(ARGV[2])), ARGV[index]) end
  results[#results + 1] = isHeld and 1 or 0
end
serve()
save()
return results
`

/**
 * Sets the limit, or with an empty text removes it. Arguments: limit, the new one. Nothing is taken from its holder. Without a limit at the store
 * the requests that wait ask again by themselves, because an operator need not know the option of their processes.
 */
const setLimit = `
sweep(64)
if ARGV[2] == '' then
  redis.call('HDEL', state, 'limit')
  limit = tonumber(ARGV[1])
else
  redis.call('HSET', state, 'limit', ARGV[2])
  limit = tonumber(ARGV[2])
  serve()
end
save()
return limit
`

/** Ends permits whose lease is over, and serves those that wait if the store has a limit. Arguments: limit. Returns how many have ended. */
const reap = `
local count = sweep(1000)
if fields[1] then serve() end
save()
return count
`

/** Changes nothing. Arguments: limit, most entries of each list. */
const inspect = `
local function records(key, ids)
  local list = {}
  for _, id in ipairs(ids) do list[#list + 1] = { id, redis.call('HGET', key, id) or '', redis.call('ZSCORE', held, id) or '' } end
  return list
end
local most = tonumber(ARGV[2]) - 1
return { now, limit, fields[1] and 1 or 0, used, redis.call('ZCARD', held), redis.call('ZCARD', queue),
  records(info, redis.call('ZRANGE', held, 0, most)), records(wait, redis.call('ZRANGE', queue, 0, most)) }
`

const bodies = { acquire, release, renew, setLimit, reap, inspect }

/** The name of a script. */
export type ScriptName = keyof typeof bodies

/** The scripts. `time` sets the variable `micros`; another than the server's is for tests. */
export const scriptsWith = (time: string): Readonly<Record<ScriptName, { readonly lua: string }>> => {
  const complete = (body: string) => ({ lua: time + prelude + body })
  return {
    acquire: complete(acquire),
    release: complete(release),
    renew: complete(renew),
    setLimit: complete(setLimit),
    reap: complete(reap),
    inspect: complete(inspect)
  }
}

/** The scripts with the time of the server. */
export const scripts = scriptsWith(serverTime)

/** The keys of a budget, in the order in which the scripts expect them. */
export const keysOf = (key: string): ReadonlyArray<string> =>
  ["state", "held", "info", "queue", "wait"].map((name) => `{${key}}:${name}`)

/** The channel on which a process is informed of its permits. */
export const channelOf = (key: string, process: string): string => `{${key}}:wake:${process}`
