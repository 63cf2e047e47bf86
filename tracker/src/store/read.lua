-- Asks what is new of one torrent. KEYS: peers, gone, epoch, completed.
-- ARGV: the mark and the epoch of the last answer; most peers; a peer's life, seconds.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function text(number) return string.format('%.0f', number) end
local function number(key)
    local found = redis.call('GET', key)
    return found and #found <= 16 and string.match(found, '^%d+$') or '0'
end
local from, epoch, most = tonumber(ARGV[1]), number(KEYS[3]), tonumber(ARGV[3])
if epoch ~= ARGV[2] or from > now + 1000000 then from = 0 end
from = math.max(from, now - ARGV[4] * 1000000)
local mark = now
local function since(key, unit)
    local last = text((now + 1000000) * unit)
    local found = redis.call('ZRANGEBYSCORE', key, text(from * unit), last,
        'WITHSCORES', 'LIMIT', 0, most)
    -- The rest of a full page is for the next question, which must get further than this one.
    if #found == most * 2 then
        local reached = math.floor(found[#found] / unit)
        mark = math.min(mark, math.max(reached, from + 1))
    end
    local kept = {}
    for at = 1, #found, 2 do
        local size = #found[at]
        if size == 26 or size == 38 then
            kept[#kept + 1] = found[at]
            kept[#kept + 1] = found[at + 1]
        end
    end
    return kept
end
local peers, gone = since(KEYS[1], 2), since(KEYS[2], 1)
return {text(now), text(mark), epoch, number(KEYS[4]), peers, gone}
