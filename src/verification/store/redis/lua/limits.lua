-- The arithmetic of src/verification/limit.rs, number by number: a test compares the two. Rules are lists (takes.rs):
--   { 'w', { COUNT, PER, COUNT, PER, … }, { WAIT, … } }     windows and waits, in milliseconds
--   { 'r', INTERVAL, TOLERANCE }                            a rate, in microseconds
--   { 'f', SOFT, HARD, UNTIL_RELEASED }                     the gate on failures
local NEVER_US = 10 * 365 * DAY * 1000

local function within(times, per, at)
    local from, count = at - per, 0
    for i = 1, #times do
        if times[i] > from then
            count = count + 1
        end
    end
    return count
end

-- Microseconds to wait, and which quota says so: its number, or minus the number of the wait.
local function windows_wait(rule, times)
    local quotas, waits, last = rule[2], rule[3], times[#times]
    local longest, which = 0, 1
    if not last then
        return longest, which
    end
    for i = 1, #quotas, 2 do
        local count, per = quotas[i], quotas[i + 1]
        if within(times, per, now) >= count then
            local wait = times[#times - count + 1] + per - now
            if wait > longest then
                longest, which = wait, (i + 1) / 2
            end
        end
    end
    if quotas[2] and waits[1] then
        local step = math.min(math.max(within(times, quotas[2], last), 1), #waits)
        local left = last + waits[step] - now
        if waits[step] > 0 and left > longest then
            longest, which = left, -step
        end
    end
    return longest * 1000, which
end

local function rate_wait(rule, values)
    if not values[1] then
        return 0, 1
    end
    return math.max(values[1] - rule[3] - now * 1000, 0), 1
end

local function failures_wait(rule, values)
    local soft, hard, until_released = rule[2], rule[3], rule[4] == 1
    local failures, last = values[1], values[2]
    local delay
    if not last or failures < math.min(soft, hard) then
        return 0, 0
    elseif failures < hard then
        delay = math.min(30000 * 2 ^ math.min(math.floor((failures - soft) / 5), 16), 3600000)
    elseif until_released then
        return NEVER_US, 0
    else
        delay = DAY
    end
    return math.max(last + delay - now, 0) * 1000, 0
end

local WAITS = { w = windows_wait, r = rate_wait, f = failures_wait }

local function write_bucket(name, values, forget_at)
    buckets[name] = values
    if forget_at > now then
        redis.call('SET', name, cmsgpack.pack(values), 'PX', forget_at - now)
    else
        redis.call('DEL', name)
    end
end

local function apply(rule, name, values)
    if rule[1] == 'w' then
        local longest, most, kept = 0, 1, {}
        for i = 1, #rule[2], 2 do
            longest, most = math.max(longest, rule[2][i + 1]), math.max(most, rule[2][i])
        end
        local from = now - longest
        for _, time in ipairs(values) do
            if time > from then
                kept[#kept + 1] = time
            end
        end
        while #kept >= most do
            table.remove(kept, 1)
        end
        kept[#kept + 1] = now
        write_bucket(name, kept, now + longest)
    elseif rule[1] == 'r' then
        local arrival = math.max(values[1] or -math.huge, now * 1000) + rule[2]
        write_bucket(name, { arrival }, math.floor(arrival / 1000) + 1)
    end
end

-- Takes, which are pairs of a key and a rule, from all or from none: { 'LIMITED', number of the take, microseconds, quota } of the
-- one that refuses for longest.
local function take_all(takes)
    if #takes == 0 then
        return nil
    end
    local names, worst = {}, nil
    for i, take in ipairs(takes) do
        names[i] = bucket_name(take[2][1], take[1])
    end
    for i, text in ipairs(redis.call('MGET', unpack(names))) do
        buckets[names[i]] = text and cmsgpack.unpack(text) or {}
    end
    for i, take in ipairs(takes) do
        local rule = take[2]
        local wait, which = WAITS[rule[1]](rule, buckets[names[i]])
        if wait > 0 and (not worst or wait >= worst[3]) then
            worst = { 'LIMITED', i, wait, which }
        end
    end
    if worst then
        return worst
    end
    for i, take in ipairs(takes) do
        apply(take[2], names[i], buckets[names[i]])
    end
end
