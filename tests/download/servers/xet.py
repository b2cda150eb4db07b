"""Puts a file into a local content-addressed store of Xet and prints its hash; run by `hub`."""

STORE_FILE = """
import os, sys
os.environ["HF_XET_CACHE"] = sys.argv[1].removeprefix("local://") + ".cache"
import hf_xet
session = hf_xet.XetSession()
commit = session.new_upload_commit(endpoint=sys.argv[1], token="t", token_expiry_unix_secs=9999999999)
with commit:
    upload = commit.start_upload_file(sys.argv[2], hf_xet.COMPUTE_SHA256)
print(upload.result().xet_info.hash)
"""
