"""The shop of the pair: an HTTP service that shows a customer's orders to whoever logs in.

    uvicorn shop_service:app --port 8002

SHOP_PASSWORD is the password of its one customer, demo; "demo123" unless set.
"""

import hmac
import os
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPBasic, HTTPBasicCredentials

PASSWORD = os.environ.get("SHOP_PASSWORD", "demo123")
ORDERS = [
    {"id": "ord_001", "order_number": "ORD-2024-001", "date": "2024-01-15"},
    {"id": "ord_002", "order_number": "ORD-2024-002", "date": "2024-01-20"},
]

app = FastAPI()


@app.get("/orders")
async def orders(
    login: Annotated[HTTPBasicCredentials, Depends(HTTPBasic())],
) -> list[dict[str, str]]:
    is_known = hmac.compare_digest(login.password.encode(), PASSWORD.encode())
    if login.username != "demo" or not is_known:
        raise HTTPException(401)
    return ORDERS
