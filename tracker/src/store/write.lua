-- Tells peers of one torrent. KEYS: peers, gone, epoch, completed.
-- ARGV: a peer's life and a departure's, seconds; most peers; 1 when words are old; how often it was
-- completed as known here, how often since, and the life of that, seconds; then a member, its kind and its age for each peer.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function text(number) return string.format('%.0f', number) end
local is_old = ARGV[4] == '1'
local any_gone = redis.call('EXISTS', KEYS[2]) == 1
for at = 8, #ARGV, 3 do
    local member, kind = ARGV[at], tonumber(ARGV[at + 1])
    local seen = now - ARGV[at + 2] * 1000000
    if kind == 2 then
        -- Ages are whole seconds, so a peer seen within two of them is not seen since.
        local known = redis.call('ZSCORE', KEYS[1], member)
        if known and known / 2 <= seen + 2000000 then
            redis.call('ZREM', KEYS[1], member)
            redis.call('ZADD', KEYS[2], text(is_old and seen or now), member)
            any_gone = true
        elseif is_old and not known then
            -- Another tracker may be about to tell of it.
            redis.call('ZADD', KEYS[2], text(seen), member)
            any_gone = true
        end
    else
        local gone = any_gone and redis.call('ZSCORE', KEYS[2], member)
        if not gone or gone + 0 < seen then
            if gone then redis.call('ZREM', KEYS[2], member) end
            redis.call('ZADD', KEYS[1], 'GT', text(seen * 2 + kind), member)
        end
    end
end
local life, gone_life, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local function tidy(key, unit, life)
    redis.call('ZREMRANGEBYSCORE', key, '-inf', text((now - life * 1000000) * unit))
    -- Nobody is seen in the future.
    redis.call('ZREMRANGEBYSCORE', key, text((now + 60000000) * unit), '+inf')
    redis.call('ZREMRANGEBYRANK', key, 0, -most - 1)
    redis.call('EXPIRE', key, life)
end
tidy(KEYS[1], 2, life)
if any_gone then tidy(KEYS[2], 1, gone_life) end
if is_old then redis.call('SET', KEYS[3], text(now), 'EX', life) end
local known, more = tonumber(ARGV[5]), tonumber(ARGV[6])
if known + more == 0 then return '0' end
local done = redis.call('GET', KEYS[4])
done = done and #done <= 10 and string.match(done, '^%d+$') and tonumber(done) or 0
local sum = math.min(math.max(done, known) + more, 4294967295)
redis.call('SET', KEYS[4], text(sum), 'EX', ARGV[7])
return text(sum)
