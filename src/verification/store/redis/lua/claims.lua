-- Idempotency keys: what is kept is { payload, time, answer }, the answer false while it is being made.
local CLAIM_LIFE, CLAIM_LEASE = DAY, 30 * 1000
local claim_key, claim_payload = argument(), argument()

-- nil: free. Otherwise what to answer.
local function claimed(when_in_flight)
    if claim_key == '' then
        return nil
    end
    local text = redis.call('GET', base .. ':i:' .. claim_key)
    if not text then
        return nil
    end
    local kept = cmsgpack.unpack(text)
    local at = tonumber(kept[2])
    if now >= at + CLAIM_LIFE then
        return nil
    elseif kept[1] ~= claim_payload then
        return { 'REUSED' }
    elseif kept[3] then
        return { 'REPLAYED', kept[3] }
    elseif now < at + CLAIM_LEASE then
        return when_in_flight
    end
end

local function keep(answer)
    if claim_key ~= '' then
        redis.call('SET', base .. ':i:' .. claim_key, cmsgpack.pack({ claim_payload, whole(now), answer }), 'PX', whole(CLAIM_LIFE))
    end
end

-- What a snapshot is made of, now and when the key comes again. The seed and the tag stay in the row.
local function sending_answer(row, rule, replica)
    local left, wait = remaining(rule, read_bucket(bucket_name('w', row.window)))
    local answer = { shown(row), left, whole(wait), whole(now) }
    local kept = { {}, left, whole(wait), whole(now) }
    for i, value in ipairs(answer[1]) do
        kept[1][i] = value
    end
    kept[1][PLACES.seed + 1], kept[1][PLACES.tag + 1] = '', ''
    keep(kept)
    return { 'QUEUED', answer }
end
