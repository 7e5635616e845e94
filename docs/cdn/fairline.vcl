# Varnish as the edge in front of Fairline: a CDN of one's own, and a model for the rules of others
# (see docs/operations.md, Content delivery networks). Varnish appends the client's address to
# X-Forwarded-For: count it in FAIRLINE_TRUSTED_HOPS. Start it with: varnishd -a :80 -f fairline.vcl
# -s malloc,256m
vcl 4.1;

import std;

backend default {
    .host = "127.0.0.1";
    .port = "8080";
}

# Addresses that may purge: the nodes.
acl purgers {
    "127.0.0.1";
    "::1";
}

sub vcl_recv {
    # FAIRLINE_PURGE_URL=http://127.0.0.1/fairline-purge
    if (req.url == "/fairline-purge") {
        if (req.method != "POST" || client.ip !~ purgers) {
            return (synth(403));
        }
        if (req.http.Surrogate-Key !~ "^[a-z0-9-]+( [a-z0-9-]+)*$") {
            return (synth(400));
        }
        ban("obj.http.Surrogate-Key ~ ^(" + regsuball(req.http.Surrogate-Key, " ", "|") + ")$");
        return (synth(204));
    }
    if (req.http.Upgrade ~ "(?i)websocket") {
        return (pipe);
    }
    if (req.method != "GET" && req.method != "HEAD") {
        return (pass);
    }
    # Organisers see drafts.
    if (req.http.Cookie ~ "fairline_console=") {
        return (pass);
    }
    # A fan who chose a language has pages in it.
    if (req.url ~ "^/(e/[^?]*)?(\?|$)"
        && (req.http.Cookie ~ "fairline_lang=" || req.url ~ "[?&]lang=")) {
        return (pass);
    }
    # The queue page of a fan who has joined is theirs alone.
    if (req.url ~ "^/e/[^/?]+(\?|$)") {
        if (req.http.Authorization || req.http.Cookie ~ "fairline_(pass|admission)_") {
            return (pass);
        }
        # The one parameter that the page knows. Links from mails carry many others.
        if (req.url ~ "[?&]return_to=") {
            set req.url = regsub(req.url, "\?.*?(return_to=[^&]*).*$", "?\1");
        } else {
            set req.url = regsub(req.url, "\?.*$", "");
        }
    # The same for everyone, whatever cookies they have. All else is private.
    } elsif (req.url !~ "^/((sitemap\.xml|robots\.txt)?)(\?|$)"
        && req.url !~ "^/static/"
        && req.url !~ "^/e/[^/?]+/(seats|draw)(\?|$)"
        && req.url !~ "^/api/v1/events(\?|$)"
        && req.url !~ "^/api/v1/events/[^/?]+(/(seats|seating|draw|draw/entries))?(\?|$)"
        && req.url !~ "^/api/v1/currencies(\?|$)") {
        return (pass);
    }
    unset req.http.Cookie;
    unset req.http.Authorization;
    # The seat map comes in two forms.
    if (req.http.Accept ~ "application/octet-stream") {
        set req.http.Accept = "application/octet-stream";
    } else {
        set req.http.Accept = "*/*";
    }
    return (hash);
}

sub vcl_pipe {
    set bereq.http.Upgrade = req.http.Upgrade;
    set bereq.http.Connection = req.http.Connection;
}

sub vcl_backend_response {
    # Surrogate-Control is for this cache, Cache-Control for all others.
    if (beresp.http.Surrogate-Control) {
        set beresp.ttl = std.duration(regsub(beresp.http.Surrogate-Control, "^.*max-age=(\d+).*$", "\1s"), 0s);
        set beresp.grace = 0s;
        if (beresp.http.Surrogate-Control ~ "stale-while-revalidate=") {
            set beresp.grace = std.duration(
                regsub(beresp.http.Surrogate-Control, "^.*stale-while-revalidate=(\d+).*$", "\1s"), 0s);
        }
        return (deliver);
    }
    if (beresp.http.Cache-Control !~ "public" || beresp.http.Set-Cookie) {
        # Not kept, and the next request does not wait for this one.
        set beresp.uncacheable = true;
        set beresp.ttl = 1s;
        return (deliver);
    }
    set beresp.grace = 1s;
}

sub vcl_deliver {
    if (obj.uncacheable) {
        set resp.http.X-Cache = "pass";
    } elsif (obj.hits > 0) {
        set resp.http.X-Cache = "hit";
    } else {
        set resp.http.X-Cache = "miss";
    }
    unset resp.http.Surrogate-Control;
    unset resp.http.Surrogate-Key;
    unset resp.http.CDN-Cache-Control;
    unset resp.http.Cache-Tag;
    unset resp.http.Via;
    unset resp.http.X-Varnish;
}
