local claim, answer = cmsgpack.unpack(ARGV[2])
local name = base .. ':i:' .. claim[1]
local text = redis.call('GET', name)
if text then
    local payload, at, given = cmsgpack.unpack(text)
    if answer then
        redis.call('SET', name, cmsgpack.pack(payload, at, answer), 'KEEPTTL')
    elseif payload == claim[2] and not given then
        redis.call('DEL', name)
    end
end
return { 'OK' }
