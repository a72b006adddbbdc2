-- Asks Sidegate about a request, and sets txn.sidegate_allowed or answers in its place. Loaded with "lua-load
-- sidegate.lua", called with "http-request lua.sidegate" after these variables are set:
--   txn.sidegate_url      the decision endpoint
--   txn.sidegate_socket   where to connect for it, if that is not in the URL: unix@/run/sidegate/http.sock
--   txn.sidegate_headers  which headers of the answer the application gets, separated by commas
--   txn.sidegate_credentials  which of its headers are left to it as the answer has them, or not at all
--   txn.sidegate_secret   what Sidegate asks gateways for, if it does

-- What belongs to one hop, and what is said anew below. HAProxy writes header names in lower case.
local kept_here = {
    ["connection"] = true, ["content-length"] = true, ["expect"] = true, ["forwarded"] = true, ["host"] = true,
    ["http2-settings"] = true, ["keep-alive"] = true, ["proxy-connection"] = true, ["te"] = true, ["trailer"] = true,
    ["transfer-encoding"] = true, ["upgrade"] = true, ["x-forwarded-host"] = true, ["x-forwarded-method"] = true,
    ["x-forwarded-proto"] = true, ["x-forwarded-uri"] = true, ["x-original-method"] = true,
    ["x-original-uri"] = true, ["x-original-url"] = true, ["x-sidegate-secret"] = true,
}

-- What a refusal says to the client.
local passed_on = { "www-authenticate", "retry-after", "set-cookie", "x-request-id", "x-auth-error" }

local function question(txn)
    local headers = {}
    for name, values in pairs(txn.http:req_get_headers()) do
        if not kept_here[name] then
            local list = {}
            -- HAProxy counts from 0.
            for index = 0, #values do
                list[#list + 1] = values[index]
            end
            headers[name] = list
        end
    end
    local scheme = "http"
    if txn.f:ssl_fc() == 1 or txn.f:ssl_fc() == true then
        scheme = "https"
    end
    -- The whole of it: a comma divides nothing here.
    local host = txn.f:req_fhdr("host") or ""
    headers["x-original-url"] = { scheme .. "://" .. host .. txn.f:pathq() }
    headers["x-original-method"] = { txn.f:method() }
    -- A WebSocket needs other rights than a GET. Over HTTP/2 it has no key.
    if txn.f:req_fhdr("upgrade") and not headers["sec-websocket-key"] then
        headers["sec-websocket-key"] = { "none" }
    end
    local secret = txn:get_var("txn.sidegate_secret")
    if secret then
        headers["x-sidegate-secret"] = { secret }
    end
    return {
        url = txn:get_var("txn.sidegate_url"),
        dst = txn:get_var("txn.sidegate_socket"),
        headers = headers,
        timeout = 5000,
    }
end

local function refuse(txn, status, answer)
    local reply = txn:reply({ status = status })
    for _, name in ipairs(passed_on) do
        local values = answer[name]
        if values then
            for index = 0, #values do
                reply:add_header(name, values[index])
            end
        end
    end
    reply:add_header("cache-control", "no-store")
    if status == 302 then
        reply:add_header("location", answer["x-auth-location"][0])
    end
    txn:done(reply)
end

core.register_action("sidegate", { "http-req" }, function(txn)
    local answer = core.httpclient():get(question(txn))
    local status = answer and answer.status or 0
    local headers = answer and answer.headers or {}
    if status == 200 then
        for name in string.gmatch(txn:get_var("txn.sidegate_headers"), "[^,]+") do
            local values = headers[string.lower(name)]
            txn.http:req_set_header(name, values and values[0] or "")
        end
        for name in string.gmatch(txn:get_var("txn.sidegate_credentials"), "[^,]+") do
            local values = headers[string.lower(name)]
            if values then
                txn.http:req_set_header(name, values[0])
            else
                txn.http:req_del_header(name)
            end
        end
        -- Where this is not reached, for whatever reason, the configuration lets nobody pass.
        txn:set_var("txn.sidegate_allowed", true)
    elseif status == 401 and headers["x-auth-location"] then
        refuse(txn, 302, headers)
    elseif status == 403 and headers["retry-after"] then
        refuse(txn, 429, headers)
    elseif status == 401 or status == 403 then
        refuse(txn, status, headers)
    else
        -- No answer, or one that no gateway should get: nobody passes.
        refuse(txn, 503, headers)
    end
end, 0)
