"""The Wi-Fi seam: where crumbs will come from."""


def access_points():
    """Return the access points in reach as (bssid, rssi_dbm) pairs: none, there is no scan yet."""
    return ()
