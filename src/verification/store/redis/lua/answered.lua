local claim, answer = cmsgpack.unpack(ARGV[2])
local name = base .. ':i:' .. claim[1]
local text = redis.call('GET', name)
if text then
    local payload, at = cmsgpack.unpack(text)
    redis.call('SET', name, cmsgpack.pack(payload, at, answer), 'KEEPTTL')
end
return { 'OK' }
