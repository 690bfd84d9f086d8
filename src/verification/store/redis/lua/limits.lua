-- The arithmetic of src/verification/limit.rs, number by number: a test compares the two.
local MONTH, NEVER_US = 30 * DAY, 10 * 365 * DAY * 1000
-- Beyond every time: a subject's failures are never forgotten.
local NEVER_FORGET = 2 ^ 53

local function list_of(text)
    local list = {}
    for part in string.gmatch(text, '[^:]+') do
        list[#list + 1] = part
    end
    return list
end

-- "w:COUNT,PER,…:WAIT,…", "r:INTERVAL_US,TOLERANCE_US" or "f:SOFT,HARD,UNTIL_RELEASED".
local function rule_of(text)
    local parts = list_of(text)
    local rule = { kind = parts[1] }
    if rule.kind == 'w' then
        rule.quotas, rule.waits = {}, parts[3] == '-' and {} or numbers(parts[3])
        local flat = parts[2] == '-' and {} or numbers(parts[2])
        for i = 1, #flat, 2 do
            rule.quotas[#rule.quotas + 1] = { count = flat[i], per = flat[i + 1] }
        end
    else
        rule.first, rule.second, rule.third = unpack(numbers(parts[2]))
    end
    return rule
end

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
    local longest, which = 0, 1
    for i, quota in ipairs(rule.quotas) do
        if within(times, quota.per, now) >= quota.count then
            local wait = times[#times - quota.count + 1] + quota.per - now
            if wait > longest then
                longest, which = wait, i
            end
        end
    end
    local last, shortest = times[#times], rule.quotas[1]
    if last and shortest then
        local step = math.max(within(times, shortest.per, last), 1)
        if step > #rule.waits then
            step = #rule.waits
        end
        local wait = rule.waits[step] or 0
        local left = last + wait - now
        if wait > 0 and left > longest then
            longest, which = left, -step
        end
    end
    return longest * 1000, which
end

local function rate_wait(rule, values)
    if not values[1] then
        return 0, 1
    end
    return math.max(values[1] - rule.second - now * 1000, 0), 1
end

local function failures_wait(rule, values)
    local failures, last = values[1], values[2]
    if not last then
        return 0, 0
    end
    local soft, hard, until_released = rule.first, rule.second, rule.third == 1
    local delay = 0
    if failures >= hard then
        if until_released then
            return NEVER_US, 0
        end
        delay = DAY
    elseif failures >= soft then
        delay = math.min(30000 * 2 ^ math.min(math.floor((failures - soft) / 5), 16), 3600000)
    else
        return 0, 0
    end
    return math.max(last + delay - now, 0) * 1000, 0
end

local WAITS = { w = windows_wait, r = rate_wait, f = failures_wait }

local function bucket_name(kind, key)
    return base .. (kind == 'f' and ':f:' or ':b:') .. key
end

local function read_bucket(name)
    local text = redis.call('GET', name)
    return text and numbers(text) or {}
end

local function write_bucket(name, values, forget_at)
    local life = forget_at - now
    if #values == 0 or life <= 0 then
        redis.call('DEL', name)
        return
    end
    local texts = {}
    for i, value in ipairs(values) do
        texts[i] = whole(value)
    end
    redis.call('SET', name, table.concat(texts, ','), 'PX', whole(life))
end

-- How many, then a key and a rule of each.
local function read_takes()
    local takes = {}
    for i = 1, number() do
        local key, rule = argument(), rule_of(argument())
        takes[i] = { name = bucket_name(rule.kind, key), rule = rule }
    end
    return takes
end

local function apply(rule, name, values)
    if rule.kind == 'w' then
        local longest, most, kept = 0, 1, {}
        for _, quota in ipairs(rule.quotas) do
            longest, most = math.max(longest, quota.per), math.max(most, quota.count)
        end
        for _, time in ipairs(values) do
            if time > now - longest then
                kept[#kept + 1] = time
            end
        end
        while #kept >= most do
            table.remove(kept, 1)
        end
        kept[#kept + 1] = now
        write_bucket(name, kept, now + longest)
        return kept
    elseif rule.kind == 'r' then
        local arrival = math.max(values[1] or -math.huge, now * 1000) + rule.first
        write_bucket(name, { arrival }, math.floor(arrival / 1000) + 1)
        return { arrival }
    end
    return values
end

-- Takes from all or from none: { 'LIMITED', number of the take, microseconds, quota } of the one that refuses for longest.
local function take_all(takes)
    local buckets, worst = {}, nil
    for i, take in ipairs(takes) do
        buckets[take.name] = buckets[take.name] or read_bucket(take.name)
        local wait, which = WAITS[take.rule.kind](take.rule, buckets[take.name])
        if wait > 0 and (not worst or wait >= worst[3]) then
            worst = { 'LIMITED', i, wait, which }
        end
    end
    if worst then
        worst[3] = whole(worst[3])
        return worst
    end
    for _, take in ipairs(takes) do
        buckets[take.name] = apply(take.rule, take.name, buckets[take.name])
    end
end

-- Messages that the shortest quota leaves, and microseconds to the next.
local function remaining(rule, values)
    local left
    for _, quota in ipairs(rule.quotas) do
        local free = math.max(quota.count - within(values, quota.per, now), 0)
        left = math.min(left or free, free)
    end
    return left or 0, (windows_wait(rule, values))
end

local function count_failure(key, of_subject)
    local name = bucket_name('f', key)
    local count = (read_bucket(name)[1] or 0) + 1
    local forget_at = of_subject and NEVER_FORGET or now + MONTH
    local number_of_change = keep_in_sql('f', key, count, forget_at)
    local value = count .. ',' .. whole(now) .. ',' .. number_of_change
    if of_subject then
        redis.call('SET', name, value)
    else
        redis.call('SET', name, value, 'PX', whole(forget_at - now))
    end
end

-- Whether there was anything to clear.
local function clear_failures(key)
    if redis.call('DEL', bucket_name('f', key)) == 0 then
        return false
    end
    keep_in_sql('f', key, 0, now + MONTH)
    return true
end

local function give_back(key, taken_at)
    local name = bucket_name('w', key)
    local values = read_bucket(name)
    for i = #values, 1, -1 do
        if values[i] == taken_at then
            table.remove(values, i)
            if #values == 0 then
                redis.call('DEL', name)
            else
                for j, value in ipairs(values) do
                    values[j] = whole(value)
                end
                redis.call('SET', name, table.concat(values, ','), 'KEEPTTL')
            end
            return
        end
    end
end
